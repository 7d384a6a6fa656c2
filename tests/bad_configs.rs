//! Each file in `tests/bad-configs/` is refused with exactly the lines that its first lines expect.
//!
//! `# expect: 3:8: upstream.port: …` stands for `mailsluice.toml:3:8: upstream.port: …`; the lines of the file are
//! counted with the comments.

use std::path::Path;

use mailsluice::config::Config;

const EXPECT: &str = "# expect: ";

#[test]
fn bad_configurations_are_refused_with_the_expected_words() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad-configs");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 30, "only {} files", files.len());
    let wrong: Vec<String> = files.iter().filter_map(|file| difference(file, &folder)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What a file's faults should have been and were, when they differ.
fn difference(file: &Path, folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).expect("it can be read");
    let want: Vec<&str> = text.lines().map_while(|line| line.strip_prefix(EXPECT)).collect();
    let folder_name = format!("{}/", folder.display());
    let got: Vec<String> = match Config::from_toml(&text, folder) {
        Ok(_) => vec!["accepted".to_owned()],
        Err(faults) => {
            let line = |line: &str| line.trim_start_matches("mailsluice.toml:").replace(&folder_name, "");
            faults.to_string().lines().map(line).collect()
        }
    };
    (want.is_empty() || want != got).then(|| {
        let got: Vec<String> = got.iter().map(|line| format!("{EXPECT}{line}")).collect();
        format!("== {}\n{}", file.file_name().unwrap_or_default().display(), got.join("\n"))
    })
}
