//! The files of `src/` without what stands behind `#[cfg(test)]`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tokens::{Token, closing, is, tokens};

/// A file of the crate.
pub(crate) struct Source {
    /// Inside `src/`: `store/sqlite/mod.rs`.
    pub(crate) path: String,
    /// `["store", "sqlite"]`; empty for the crate's root.
    pub(crate) module: Vec<String>,
    /// What is compiled without tests.
    pub(crate) tokens: Vec<Token>,
    /// All lines, tests included.
    pub(crate) lines: usize,
    /// The lines that are not in a test module.
    pub(crate) code_lines: usize,
}

impl Source {
    pub(crate) fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }
}

/// The crate's files.
pub(crate) fn of_the_crate() -> Vec<Source> {
    let texts = texts(&["rs"]);
    from_texts(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())))
}

/// The files of `src/` with these endings, each by its path inside and with its text.
pub(crate) fn texts(endings: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, endings, &mut files);
    files.sort();
    assert!(files.len() > 20, "the sources were not found: {} files", files.len());
    let text = |file: &PathBuf| {
        let inside = file.strip_prefix(&root).unwrap().iter().map(|part| part.to_string_lossy());
        (inside.collect::<Vec<_>>().join("/"), fs::read_to_string(file).unwrap())
    };
    files.iter().map(text).collect()
}

fn collect(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, endings, files);
        } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
            files.push(path);
        }
    }
}

/// Files by path and text. A file that is a test module, or lies in one, keeps its lines but has no code.
pub(crate) fn from_texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Source> {
    let mut test_modules = HashSet::new();
    let mut sources: Vec<Source> = texts
        .into_iter()
        .map(|(path, text)| {
            let module = module_path(path);
            let Cut { kept, modules, lines: cut } = without_tests(&tokens(text));
            test_modules.extend(modules.into_iter().map(|name| [module.as_slice(), &[name]].concat()));
            let lines = text.lines().count();
            Source { path: path.to_owned(), module, tokens: kept, lines, code_lines: lines - cut }
        })
        .collect();
    for source in &mut sources {
        if (1..=source.module.len()).any(|end| test_modules.contains(&source.module[..end])) {
            source.tokens.clear();
            source.code_lines = 0;
        }
    }
    sources
}

/// `store/sqlite/mod.rs` is the module `store::sqlite`.
fn module_path(path: &str) -> Vec<String> {
    let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

struct Cut {
    kept: Vec<Token>,
    /// The test modules that are files of their own.
    modules: Vec<String>,
    lines: usize,
}

/// Leaves out each item behind `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Cut {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut cut = Cut { kept: Vec::new(), modules: Vec::new(), lines: 0 };
    let mut at = 0;
    while at < tokens.len() {
        if !MARK.iter().enumerate().all(|(i, wanted)| is(tokens, at + i, wanted)) {
            cut.kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = item_end(tokens, at);
        cut.lines += tokens[end].line + 1 - tokens[at].line;
        let item = &tokens[at..=end];
        cut.modules.extend(
            item.windows(3).filter(|w| w[0].text == "mod" && w[2].text == ";").map(|w| w[1].text.clone()),
        );
        at = end + 1;
    }
    cut
}

/// The last token of the item that begins with the attribute at `start`.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while is(tokens, at, "#") && is(tokens, at + 1, "[") {
        at = closing(tokens, at + 1) + 1;
    }
    let is_use = is(tokens, at, "use");
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at,
            "{" if !is_use => return closing(tokens, at),
            "{" | "(" | "[" => at = closing(tokens, at),
            _ => {}
        }
        at += 1;
    }
    tokens.len() - 1
}

#[test]
fn tests_are_left_out() {
    for (name, text, wanted, code_lines) in [
        ("module", "a\n#[cfg(test)]\nmod tests {\n b {}\n}\nc", "[a, c]", 2),
        ("more attributes", "#[cfg(test)] #[allow(x)] mod tests { b } c", "[c]", 0),
        ("import", "#[cfg(test)]\nuse a::{b, c};\nd", "[d]", 1),
        ("function", "#[cfg(test)]\nfn a(b: [u8; 4]) -> C { d }\ne", "[e]", 1),
        ("another condition", "#[cfg(unix)]\nmod a;", "[#, [, cfg, (, unix, ), ], mod, a, ;]", 2),
    ] {
        let [source] = &from_texts([("a.rs", text)])[..] else { unreachable!() };
        assert_eq!(format!("{:?}", source.tokens), wanted, "{name}");
        assert_eq!(source.code_lines, code_lines, "{name}");
    }
    let files = from_texts([
        ("a/b.rs", "#[cfg(test)]\nmod tests;"),
        ("a/b/tests.rs", "x"),
        ("a/b/tests/c.rs", "x\ny"),
        ("a/tests.rs", "x"),
    ]);
    let code: Vec<usize> = files.iter().map(|file| file.code_lines).collect();
    assert_eq!(code, [0, 0, 0, 1]);
    assert_eq!(files[2].lines, 2);
}
