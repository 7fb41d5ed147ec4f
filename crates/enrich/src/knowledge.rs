//! What all our text files of knowledge have in common: where they lie, and errors that name file and line.

use std::path::Path;

/// Why a file of knowledge cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// A folder or file that cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// Where.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file that says something wrong.
    #[error("{file}:{line}: {what}")]
    Broken {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

/// A file's text, to say where in it something is wrong.
pub(crate) struct Text<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Text<'_> {
    /// The line, from 1, of a byte of the text.
    pub(crate) fn line(&self, byte: usize) -> usize {
        1 + self.text.bytes().take(byte).filter(|b| *b == b'\n').count()
    }

    /// The text as TOML of that form.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, KnowledgeError> {
        toml::from_str(self.text).map_err(|e| {
            let line = self.line(e.span().map_or(0, |s| s.start));
            self.broken(line, e.message().to_owned())
        })
    }

    pub(crate) fn broken(&self, line: usize, what: impl Into<String>) -> KnowledgeError {
        KnowledgeError::Broken { file: self.file.to_owned(), line, what: what.into() }
    }
}

/// Names and texts of the `.toml` files of a folder, by name, so that the order is the same everywhere.
pub(crate) fn folder(path: &Path) -> Result<Vec<(String, String)>, KnowledgeError> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |cause| KnowledgeError::Unreadable { path, cause }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
        let file = entry.map_err(unreadable(path))?.path();
        if file.extension().is_some_and(|e| e == "toml") {
            files.push(file);
        }
    }
    files.sort();
    let read = |file: std::path::PathBuf| {
        let text = std::fs::read_to_string(&file).map_err(unreadable(&file))?;
        Ok((file.display().to_string(), text))
    };
    files.into_iter().map(read).collect()
}

/// Whether it is a port as our files write it: `445` for TCP, `137/udp` for UDP (words.md).
pub(crate) fn is_port(text: &str) -> bool {
    let number = text.strip_suffix("/udp").unwrap_or(text);
    // Parsing alone would take "+445" and "0445", which equal no port of a source.
    number.parse::<u16>().is_ok_and(|n| n.to_string() == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_one_way() {
        assert!(is_port("445") && is_port("137/udp") && is_port("0"));
        for wrong in ["", "+445", "0445", "65536", "445/tcp", "/udp", "udp/137", "445 "] {
            assert!(!is_port(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = folder(Path::new("/no/such/folder")).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/folder: "), "{error}");
    }
}
