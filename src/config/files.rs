//! Reading small files: the configuration itself, secrets, keys.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What was read.
pub(super) struct FileText {
    pub(super) text: String,
    /// Whether every user of the machine can read the file.
    pub(super) open_to_others: bool,
}

/// Reads a file of at most `most` octets.
///
/// # Errors
/// In words, when it can't be read, is no plain file (a pipe could make us wait for ever), is too long, or is not UTF-8.
pub(super) fn read(path: &Path, most: u64) -> Result<FileText, String> {
    let (octets, open_to_others) = octets(path, most)?;
    match String::from_utf8(octets) {
        Ok(text) => Ok(FileText { text, open_to_others }),
        Err(_) => Err(format!("cannot read {} (it is not UTF-8 text)", path.display())),
    }
}

/// The octets of such a file, and whether every user of the machine can read it.
///
/// # Errors
/// In words, when it can't be read, is no plain file, or is too long.
pub(super) fn octets(path: &Path, most: u64) -> Result<(Vec<u8>, bool), String> {
    let failed = |error: &io::Error| format!("cannot read {} ({})", path.display(), reason(error));
    let refused = |why: &str| Err(format!("cannot read {} ({why})", path.display()));
    let facts = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if !facts.is_file() {
        return refused("it is not a file");
    }
    let mut octets = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(most + 1).read_to_end(&mut octets).map_err(|error| failed(&error))?;
    if octets.len() as u64 > most {
        return refused(&format!("it is longer than {most} octets"));
    }
    Ok((octets, facts.mode() & 0o004 != 0))
}

/// The system's words without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, content: &[u8], mode: u32) -> std::path::PathBuf {
        let path = folder.join(format!("{mode:o}-{}", content.len()));
        let mut file = File::create(&path).unwrap();
        file.write_all(content).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn reads_small_text_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| read(path, 10).err().unwrap_or_default();
        let text = read(&file(folder.path(), b"hush\n", 0o600), 10).ok().unwrap();
        assert_eq!((text.text.as_str(), text.open_to_others), ("hush\n", false));
        assert!(read(&file(folder.path(), b"0123456789", 0o644), 10).ok().unwrap().open_to_others);
        assert!(error(&file(folder.path(), b"0123456789A", 0o600)).contains("longer than 10"));
        assert!(error(&file(folder.path(), b"\xff", 0o600)).contains("not UTF-8"));
        assert!(error(folder.path()).contains("not a file"));
        assert!(error(&folder.path().join("x")).ends_with("/x (No such file or directory)"));
    }
}
