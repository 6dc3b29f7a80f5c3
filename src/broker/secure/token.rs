//! The token of OAUTHBEARER, and its first message.

use super::settings::Pem;

/// Most bytes read from a token file.
const TOKEN_BYTES_MAX: u64 = 1 << 16;

/// The token. A file is read for each login, so that a token that another process has renewed is used.
///
/// # Errors
/// The file cannot be read, or has no token. The text contains no value.
pub(super) fn token(source: &Pem) -> Result<String, String> {
    use std::io::Read as _;

    let file = match source {
        Pem::Text(_, token) => return Ok(token.clone()),
        Pem::File(_, file) => file,
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file);
    let read = opened.and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| {
        format!("the `token_file` of `sasl.oauthbearer.config`: {}", error.kind())
    })?;
    let token = text.trim();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    match is_one {
        true => Ok(token.to_owned()),
        false => Err("the `token_file` of `sasl.oauthbearer.config` has no token".to_owned()),
    }
}

/// The first message (RFC 7628, section 3.1), with the pairs of `sasl.oauthbearer.extensions`.
pub(super) fn first_message(token: &str, extensions: &str) -> Vec<u8> {
    let mut message = format!("n,,\u{1}auth=Bearer {token}\u{1}");
    for extension in extensions.split(',').map(str::trim).filter(|pair| pair.contains('=')) {
        message.push_str(extension);
        message.push('\u{1}');
    }
    message.push('\u{1}');
    message.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_anew_and_no_value_is_in_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let source = Pem::File("sasl.oauthbearer.config", path.display().to_string());
        let error = token(&source).expect_err("no file");
        assert!(error.ends_with("entity not found") && !error.contains("/"), "{error}");
        for text in ["one\n", "two"] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(token(&source), Ok(text.trim().to_owned()));
        }
        for text in ["", "a b", "a\u{1}b"] {
            std::fs::write(&path, text).expect("written");
            assert!(token(&source).expect_err("no token").ends_with("has no token"));
        }
    }

    #[test]
    fn the_first_message_is_that_of_the_standard() {
        assert_eq!(first_message("t", ""), b"n,,\x01auth=Bearer t\x01\x01");
        assert_eq!(first_message("t", "a=b, c=d,x"), b"n,,\x01auth=Bearer t\x01a=b\x01c=d\x01\x01");
    }
}
