//! The stable codes of all errors and warnings about a scenario.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// All codes.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    /// The file does not exist.
    FILE_MISSING = "file-missing";
    /// The file exists, but cannot be read: a directory, a device, or no permission.
    FILE_UNREADABLE = "file-unreadable";
    /// The file is too large to be a scenario.
    FILE_TOO_LARGE = "file-too-large";
    /// The file is not text.
    NOT_TEXT = "not-text";
    /// The file has no section and no key.
    EMPTY_SCENARIO = "empty-scenario";
    /// The file is not TOML.
    SYNTAX = "syntax";
    /// A `--set` that is not `path=value`, or whose path does not exist.
    BAD_OVERRIDE = "bad-override";
    /// A section that does not exist.
    UNKNOWN_SECTION = "unknown-section";
    /// A key that does not exist in its section.
    UNKNOWN_KEY = "unknown-key";
    /// A key that was renamed.
    RENAMED_KEY = "renamed-key";
    /// A required key of a section is missing.
    MISSING_KEY = "missing-key";
    /// A value whose type its key does not accept.
    WRONG_TYPE = "wrong-type";
    /// A text that is not a number with a unit.
    WRONG_UNIT = "wrong-unit";
    /// A text that is not one of the words of its key.
    UNKNOWN_WORD = "unknown-word";
    /// None or several of the keys of which a table has exactly one.
    EXACTLY_ONE = "exactly-one";
    /// A number outside the accepted range.
    OUT_OF_RANGE = "out-of-range";
    /// Two values that contradict each other.
    CONFLICT = "conflict";
    /// A key that has no effect with the other settings.
    NO_EFFECT = "no-effect";
    /// A placeholder that does not exist, or lacks an argument.
    BAD_TEMPLATE = "bad-template";
    /// A schema that cannot be read, or for which no values can be generated.
    BAD_SCHEMA = "bad-schema";
    /// A name that Kafka does not accept for a topic.
    BAD_TOPIC_NAME = "bad-topic-name";
    /// The address of the cluster is missing.
    MISSING_BOOTSTRAP = "missing-bootstrap";
    /// An address that is not `host:port`.
    BAD_BOOTSTRAP = "bad-bootstrap";
    /// The address of a cluster is given, but not used.
    UNUSED_BOOTSTRAP = "unused-bootstrap";
    /// A librdkafka property that lanekeeper sets itself.
    CONTROLLED_PROPERTY = "controlled-property";
    /// A property that librdkafka does not have.
    UNKNOWN_PROPERTY = "unknown-property";
    /// A property whose value librdkafka refuses.
    BAD_PROPERTY = "bad-property";
    /// A secret in the scenario.
    SECRET_PROPERTY = "secret-property";
    /// A partition or consumer that does not exist.
    NO_SUCH_MEMBER = "no-such-member";
    /// A fault after the end of the load.
    FAULT_AFTER_END = "fault-after-end";
    /// Faults that are not in the order of their times.
    FAULT_ORDER = "fault-order";
    /// An expectation about a figure that does not exist.
    UNKNOWN_METRIC = "unknown-metric";
    /// An expectation about a figure that this run does not measure.
    NOT_MEASURED = "not-measured";
    /// An expectation that is not a valid comparison.
    BAD_BOUND = "bad-bound";
    /// A setting that the embedded cluster does not support.
    EMBEDDED_LIMIT = "embedded-limit";
    /// A figure that depends on the timing of the embedded cluster.
    EMBEDDED_TIMING = "embedded-timing";
    /// A load that is close to the capacity of the consumers, or beyond it.
    BUSY_CONSUMER = "busy-consumer";
    /// A setting that the simulator does not model.
    NOT_SIMULATED = "not-simulated";
    /// A setting that the native client does not support.
    NOT_NATIVE = "not-native";
    /// A fault that this kind of broker does not support.
    WRONG_BROKER = "wrong-broker";
    /// A part that this build of lanekeeper does not contain.
    NOT_BUILT_IN = "not-built-in";
}
