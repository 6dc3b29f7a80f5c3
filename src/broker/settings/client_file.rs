//! Properties from outside the scenario: a client file and the environment, which are the places for secrets.
//!
//! No value from here is ever printed. Messages name a property and its place only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use java_properties::{LineContent, PropertiesIter};

use crate::scenario::known::{self, VARIABLES};
use crate::scenario::{Diagnostic, Origin, closest, codes};

/// Properties from a client file and the environment. `Debug` shows only their names.
#[derive(Clone, Default)]
pub struct ClientFile {
    /// The effective properties, by canonical name.
    given: BTreeMap<String, Given>,
    /// The properties of the file that the environment overrules, by canonical name.
    overruled: BTreeMap<String, Given>,
}

/// A property.
#[derive(Clone)]
pub(in crate::broker) struct Given {
    /// The name as it is written, which may be an alias.
    pub(in crate::broker) name: String,
    /// The value, which is never shown.
    pub(in crate::broker) value: String,
    pub(in crate::broker) place: PropertyLocation,
}

/// The place of a property from outside the scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) enum PropertyLocation {
    /// A line of a client file, counted from 1.
    File { path: String, line: usize },
    /// A variable of the environment.
    Environment { variable: String },
}

impl fmt::Display for PropertyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertyLocation::File { path, line } => write!(f, "`{path}`, line {line}"),
            PropertyLocation::Environment { variable } => {
                write!(f, "`{variable}` in the environment")
            }
        }
    }
}

impl fmt::Debug for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.given.keys()).finish()
    }
}

impl ClientFile {
    /// Reads `file`, given as name and content in the syntax of Java's `.properties`, and then the environment, which
    /// takes precedence.
    ///
    /// # Errors
    /// A diagnostic for each property that cannot be read, and for each name that librdkafka does not have.
    pub fn read(
        file: Option<(&str, &[u8])>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<ClientFile, Vec<Diagnostic>> {
        let mut read = Reading::default();
        if let Some((path, content)) = file {
            read.file(path, content);
        }
        for (variable, value) in environment {
            // Variables of other programs need not be text.
            if variable.as_encoded_bytes().starts_with(VARIABLES.as_bytes()) {
                read.variable(&variable, value);
            }
        }
        match read.wrong.is_empty() {
            true => Ok(ClientFile { given: read.given, overruled: read.overruled }),
            false => Err(read.wrong),
        }
    }

    /// The properties that the environment overrules.
    pub(in crate::broker) fn overruled(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.overruled.iter().map(|(name, given)| (name.as_str(), given))
    }

    /// The effective properties.
    pub(in crate::broker) fn all(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.given.iter().map(|(name, given)| (name.as_str(), given))
    }
}

#[derive(Default)]
struct Reading {
    given: BTreeMap<String, Given>,
    overruled: BTreeMap<String, Given>,
    wrong: Vec<Diagnostic>,
}

impl Reading {
    fn refuse(&mut self, code: &'static str, message: String, remedy: impl Into<String>) {
        self.wrong.push(Diagnostic::error(code, Origin::CommandLine, message).remedy(remedy));
    }

    fn file(&mut self, path: &str, content: &[u8]) {
        let text = match std::str::from_utf8(content) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let before = &content[..error.valid_up_to()];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                let message = format!("`{path}`, line {line}, is not UTF-8 text");
                return self.refuse(
                    codes::NOT_TEXT,
                    message,
                    "save it as UTF-8, or write `\\u00e4`",
                );
            }
        };
        // The parser drops a last line that ends with a backslash.
        let text = format!("{text}\n");
        let lines = PropertiesIter::new_with_encoding(text.as_bytes(), encoding_rs::UTF_8);
        for line in lines {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    let line = error.line_number().map(|line| format!(", line {line},"));
                    let message =
                        format!("`{path}`{} has an escape that is none", line.unwrap_or_default());
                    let remedy =
                        "write `\\\\` for a backslash, and four hexadecimal digits after `\\u`";
                    return self.refuse(codes::SYNTAX, message, remedy);
                }
            };
            let place = PropertyLocation::File { path: path.to_owned(), line: line.line_number() };
            if let LineContent::KVPair(name, value) = line.consume_content() {
                self.line(name, value.trim().to_owned(), place);
            }
        }
    }

    fn line(&mut self, name: String, value: String, place: PropertyLocation) {
        let kept = known::canonical(&name).to_owned();
        if let Some(earlier) = self.given.get(&kept) {
            let message = format!("{place}, writes `{name}` again: see {}", earlier.place);
            return self.refuse(codes::CONFLICT, message, "remove one of them");
        }
        // A line that is the continuation of a value may look like a name, and may be part of a secret.
        let shown = looks_like_a_name(&name) && !value.is_empty();
        self.enter(Given { name, value, place }, shown);
    }

    fn variable(&mut self, variable: &OsString, value: OsString) {
        let shown = variable.to_string_lossy().into_owned();
        let (Some(name), Ok(value)) = (variable.to_str(), value.into_string()) else {
            let message = format!("the variable `{shown}` in the environment is not UTF-8 text");
            return self.refuse(codes::NOT_TEXT, message, "set it again, or unset it");
        };
        let name = name[VARIABLES.len()..].to_lowercase().replace('_', ".");
        let place = PropertyLocation::Environment { variable: shown };
        self.enter(Given { name, value, place }, true);
    }

    /// Takes a property with a known name, or adds a diagnostic. The name is in the message only if `shown` is true.
    fn enter(&mut self, given: Given, shown: bool) {
        let Given { name, value, place } = &given;
        let kept = known::canonical(name);
        if value.contains('\0') {
            let message =
                format!("{place}: the value has a character 0, which no property may have");
            return self.refuse(codes::BAD_PROPERTY, message, "remove it");
        }
        if known::treatment(kept).is_some() {
            let kept = kept.to_owned();
            if let Some(earlier) = self.given.insert(kept.clone(), given) {
                self.overruled.insert(kept, earlier);
            }
        } else if let Some(instead) = known::instead(name) {
            let message = format!("{place}: `{name}` is a property of the Java client");
            self.refuse(codes::UNKNOWN_PROPERTY, message, instead);
        } else {
            let message = match shown {
                true => format!("{place}: librdkafka has no property `{name}`"),
                false => format!("{place}, does not begin with the name of a property"),
            };
            let remedy = closest(name, known::names()).map_or_else(
                || {
                    "write `property = value` with a property of librdkafka; a value that goes on in the next line \
                     ends with a backslash"
                        .to_owned()
                },
                |meant| format!("did you mean `{meant}`?"),
            );
            self.refuse(codes::UNKNOWN_PROPERTY, message, remedy);
        }
    }
}

/// True if `text` has the form of a property's name.
fn looks_like_a_name(text: &str) -> bool {
    let is_part =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    text.contains('.') && text.len() < 80 && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<ClientFile, Vec<Diagnostic>> {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        ClientFile::read(Some(("c.properties", text.as_bytes())), environment)
    }

    fn value<'a>(file: &'a ClientFile, name: &str) -> &'a str {
        file.given.get(name).map_or("", |given| given.value.as_str())
    }

    #[test]
    fn the_environment_wins_and_what_is_not_ours_is_not_read() {
        let environment = [("LANEKEEPER_CLIENT_SASL_PASSWORD", "from-env"), ("HOME", "/")];
        let file =
            read("# no\nsasl.password = from-file\nsasl.username=me\n", &environment).unwrap();
        assert_eq!(value(&file, "sasl.password"), "from-env");
        assert_eq!(value(&file, "sasl.username"), "me");
        assert_eq!(format!("{file:?}"), r#"["sasl.password", "sasl.username"]"#);
    }

    #[test]
    fn the_syntax_is_that_of_java() {
        let text = "\u{feff}! a comment\n  # another\nsasl.username: me\r\nsasl.password s3=c:r!t#\\\n   et\\\\\n\
                    ssl.ca.pem=a\\nb\nclient.rack=\\u00e4\\u0041  \nsecurity.protocol \\\n = ssl\n\
                    sasl.mechanisms=PLAIN\\";
        let file = read(text, &[]).unwrap();
        let expected = [
            ("sasl.username", "me"),
            ("sasl.password", "s3=c:r!t#et\\"),
            ("ssl.ca.pem", "a\nb"),
            ("client.rack", "äA"),
            ("security.protocol", "ssl"),
            ("sasl.mechanism", "PLAIN"),
        ];
        for (name, expected) in expected {
            assert_eq!(value(&file, name), expected, "{name}");
        }
        assert_eq!(file.given.len(), expected.len());
    }

    #[test]
    fn what_is_wrong_is_named_without_a_value() {
        let refused = [
            (
                "sasl.pasword=MARK",
                "line 1: librdkafka has no property `sasl.pasword`",
                "`sasl.password`?",
            ),
            ("\n\nMARK", "line 3, does not begin with the name", "`property = value`"),
            ("ssl.key.pem=x\nMIMARK.abc==", "line 2, does not begin", "backslash"),
            ("x.mark", "line 1, does not begin", "backslash"),
            (
                "sasl.jaas.config=MARK",
                "`sasl.jaas.config` is a property of the Java",
                "`sasl.username`",
            ),
            ("ssl.truststore.password=MARK", "of the Java client", "no password"),
            (
                "sasl.mechanism=A\nsasl.mechanisms=MARK",
                "line 2, writes `sasl.mechanisms` again",
                "remove one",
            ),
            ("sasl.password=\\uMARK", "line 1, has an escape that is none", "hexadecimal"),
            ("sasl.password=MARK\\u0000", "line 1: the value has a character 0", "remove it"),
        ];
        for (text, message, remedy) in refused {
            let wrong = read(text, &[]).map(|_| ()).expect_err(text);
            let [diagnostic] = wrong.as_slice() else { panic!("{text}: {wrong:?}") };
            assert!(diagnostic.message.contains(message), "{text}: {diagnostic:?}");
            assert!(diagnostic.remedy.contains(remedy), "{text}: {diagnostic:?}");
            let said = format!("{diagnostic:?}").to_lowercase();
            assert!(!said.contains("mark"), "{said}");
        }
        // All diagnostics are returned together, and a variable is named.
        let wrong = read("a=MARK\nb=MARK\n", &[("LANEKEEPER_CLIENT_SASL_PASWORD", "MARK")]);
        let wrong = wrong.map(|_| ()).unwrap_err();
        assert_eq!(wrong.len(), 3);
        assert!(wrong[2].message.contains("`LANEKEEPER_CLIENT_SASL_PASWORD` in the environment"));
        assert!(!format!("{wrong:?}").contains("MARK"));
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        let wrong = ClientFile::read(Some(("c", b"a\nb=\xe4\n")), std::iter::empty());
        assert!(wrong.map(|_| ()).unwrap_err()[0].message.contains("line 2, is not UTF-8"));
    }

    #[cfg(unix)]
    #[test]
    fn variables_that_are_no_text_matter_only_if_they_are_ours() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let others = [(bytes(b"A\xff"), bytes(b"x")), (bytes(b"B"), bytes(b"\xff"))];
        assert!(ClientFile::read(None, others.into_iter()).is_ok());
        let ours = [
            (bytes(b"LANEKEEPER_CLIENT_SASL_PASSWORD"), bytes(b"MARK\xff")),
            (bytes(b"LANEKEEPER_CLIENT_\xff"), bytes(b"MARK")),
        ];
        let wrong = ClientFile::read(None, ours.into_iter()).map(|_| ()).unwrap_err();
        assert_eq!(wrong.len(), 2);
        assert!(wrong.iter().all(|wrong| wrong.message.contains("is not UTF-8 text")));
        assert!(!format!("{wrong:?}").contains("MARK"));
    }
}
