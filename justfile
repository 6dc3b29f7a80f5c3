# The commands a developer needs; `.ci/run` is the one that decides.

# list the recipes
default:
    @just --list

# run all tests on the embedded broker
test *ARGS:
    cargo test --workspace --locked {{ARGS}}

# check format and lints
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# start a real Kafka with 1 or 3 brokers on 127.0.0.1
kafka-start BROKERS="1":
    tests/kafka.sh start {{BROKERS}}

# end that Kafka and remove its data
kafka-stop:
    tests/kafka.sh stop

# run the conformance tests against that Kafka
kafka-test:
    address=$(tests/kafka.sh env) && env "$address" cargo test --locked --test brokers -- conformance:: connect:: checkpoints:: recompute:: truths:: --skip sim:: --skip embedded::

# show the library's documentation, without warnings
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# build the book into book/book
book:
    mdbook build book

# run the benches
bench *ARGS:
    cargo bench --locked {{ARGS}}

# run what CI runs
ci:
    .ci/run
