//! The stable names of everything that can be wrong with a scenario.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// Every code there is.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    /// There is no such file.
    FILE_MISSING = "file-missing";
    /// The file is there, but cannot be read: a directory, a device, no permission.
    FILE_UNREADABLE = "file-unreadable";
    /// The file is too large to be a scenario.
    FILE_TOO_LARGE = "file-too-large";
    /// The file is not text.
    NOT_TEXT = "not-text";
    /// The file says nothing.
    EMPTY_SCENARIO = "empty-scenario";
    /// The file is not TOML.
    SYNTAX = "syntax";
    /// A `--set` that is not `path=value`, or whose path leads nowhere.
    BAD_OVERRIDE = "bad-override";
    /// A section that does not exist.
    UNKNOWN_SECTION = "unknown-section";
    /// A key that does not exist in its section.
    UNKNOWN_KEY = "unknown-key";
    /// A key that has another name now.
    RENAMED_KEY = "renamed-key";
    /// A key without which its section makes no sense.
    MISSING_KEY = "missing-key";
    /// A value of another type than its key takes.
    WRONG_TYPE = "wrong-type";
    /// A text that should be a number with a unit.
    WRONG_UNIT = "wrong-unit";
    /// A text that is none of the words its key takes.
    UNKNOWN_WORD = "unknown-word";
    /// None or several of the keys of which a table has exactly one.
    EXACTLY_ONE = "exactly-one";
    /// A number outside what is possible or sensible.
    OUT_OF_RANGE = "out-of-range";
    /// Two values that cannot both hold.
    CONFLICT = "conflict";
    /// A key that only works together with another setting.
    NO_EFFECT = "no-effect";
    /// A placeholder that is not known, or lacks something.
    BAD_TEMPLATE = "bad-template";
    /// A schema that cannot be read, or of which no values can be made.
    BAD_SCHEMA = "bad-schema";
    /// A name no topic may have.
    BAD_TOPIC_NAME = "bad-topic-name";
    /// A cluster is wanted but not given.
    MISSING_BOOTSTRAP = "missing-bootstrap";
    /// An address that is not `host:port`.
    BAD_BOOTSTRAP = "bad-bootstrap";
    /// A cluster is given but not used.
    UNUSED_BOOTSTRAP = "unused-bootstrap";
    /// A librdkafka property that lanekeeper sets itself.
    CONTROLLED_PROPERTY = "controlled-property";
    /// A property that librdkafka does not have.
    UNKNOWN_PROPERTY = "unknown-property";
    /// A property whose value librdkafka does not take.
    BAD_PROPERTY = "bad-property";
    /// A secret in the scenario.
    SECRET_PROPERTY = "secret-property";
    /// A partition or consumer that does not exist.
    NO_SUCH_MEMBER = "no-such-member";
    /// A fault that would never happen.
    FAULT_AFTER_END = "fault-after-end";
    /// Faults that are not in the order of their times.
    FAULT_ORDER = "fault-order";
    /// An expectation on a figure that does not exist.
    UNKNOWN_METRIC = "unknown-metric";
    /// An expectation on a figure this run does not have.
    NOT_MEASURED = "not-measured";
    /// A comparison that cannot be read.
    BAD_BOUND = "bad-bound";
    /// Something the embedded cluster cannot do.
    EMBEDDED_LIMIT = "embedded-limit";
    /// A time that is the embedded cluster's, not a real one's.
    EMBEDDED_TIMING = "embedded-timing";
    /// A load that consumers will hardly keep up with, or not at all.
    BUSY_CONSUMER = "busy-consumer";
    /// Something the simulator does not model.
    NOT_SIMULATED = "not-simulated";
    /// Something the native client does not speak.
    NOT_NATIVE = "not-native";
    /// A fault this kind of broker cannot do.
    WRONG_BROKER = "wrong-broker";
    /// Something this build of lanekeeper was made without.
    NOT_BUILT_IN = "not-built-in";
}
