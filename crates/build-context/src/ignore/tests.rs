//! Patterns, measured with `docker build` of Docker 28 where its documentation is silent.

use super::*;

/// Whether a path is ignored, walking down to it as `Walk` does.
fn is_ignored(ignore: &Ignore, path: &str) -> bool {
    let mut above = Matched::default();
    let ends = path.match_indices('/').map(|(at, _)| at);
    let mut result = false;
    for end in ends.chain([path.len()]) {
        let dir = &path.as_bytes()[..end];
        let (is_ignored, matched) = ignore.judge(dir, &above).unwrap();
        if is_ignored && end < path.len() && !ignore.searches(dir) {
            return true;
        }
        (result, above) = (is_ignored, matched);
    }
    result
}

fn ignored_by(patterns: &str, path: &str) -> bool {
    is_ignored(&Ignore::parse(patterns.as_bytes()).unwrap(), path)
}

#[test]
fn patterns_match_as_in_docker() {
    let table = [
        ("a", "a", true),
        ("a", "b/a", false),
        ("a", "a/b/c", true),
        ("/a", "a", true),
        ("a/", "a", true),
        ("./a/../b", "b", true),
        ("/a/b/", "a/b", true),
        ("//a", "a", true),
        ("/../a", "a", true),
        ("../a", "a", false),
        ("a/../../a", "a", false),
        ("a", "ab", false),
        (".", "a", false),
        ("/", "a", false),
        ("", "a", false),
        ("  # a", "a", false),
        ("\ta\t", "a", true),
        ("\u{feff}a", "a", true),
        ("\u{feff}#a", "a", false),
        ("*", "a/b/c", true),
        ("**/", "a/b", true),
        ("**/a/**", "x/a/y", true),
        ("a**", "ab/c", true),
        ("a/**", "a", false),
        ("**/temp*", "x/y/temporary", true),
        ("a*c", "a/c", false),
        ("A", "a", false),
        ("*/temp*", "x/temporary.txt", true),
        ("*/temp*", "x/y/temp", false),
        ("*/*/temp*", "x/y/temp", true),
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("*.md", "README.md", true),
        ("*.md", "docs/README.md", false),
        ("**.md", "README.md", true),
        ("**.md", "docs/a/b.md", true),
        ("**.md", "docs/a.mdx", false),
        ("docs/**.md", "docs/a/b/.md", true),
        ("docs/**.md", "docs/a/b/c.md", false),
        ("**ock", "a/lock", true),
        ("***.md", "docs/a/b.md", true),
        ("**/*.go", "main.go", true),
        ("**/*.go", "a/b/main.go", true),
        ("**", "a/b", true),
        ("a/**", "a/b/c", true),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a/**/z", "a/bz", false),
        ("**/node_modules", "x/node_modules/y", true),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("[^a-c]x", "dx", true),
        ("[!a]x", "!x", true),
        ("[!a]x", "bx", false),
        ("[a\\-c]x", "-x", true),
        ("[a\\-c]x", "bx", false),
        ("[a\\]]x", "]x", true),
        ("a[^b]c", "a/c", true),
        ("]", "]", true),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("\\a*", "a", false),
        ("a\\ b", "a b", true),
        // These are what the translation into Go's regular expressions makes of them.
        ("\\d", "7", true),
        ("\\d", "d", false),
        ("\\w\\s\\D", "a x", true),
        ("\\S\\W", "a-", true),
        ("[[:alpha:]]x", "bx", true),
        ("[[:alpha:]]x", "1x", false),
        ("[[:^digit:]]x", "1x", false),
        ("[\\d]x", "5x", true),
        ("[^\\D]x", "5x", true),
        ("[*]", "*", false),
        ("[*]", "[[^]", true),
        ("[?]", "/]", true),
        ("[.$]x", "$x", true),
        ("a^*", "a^b", false),
        ("^*.md", "a.md", true),
        ("\\x41", "A", true),
        ("\\101", "A", true),
        ("\\Qa", "a$b", true),
        ("\\bab\\b", "ab", true),
        ("a\\Bb\\z", "ab", true),
        ("a^b", "a^b", true),
        ("a.b", "axb", false),
        ("a+(b)|{c}$", "a+(b)|{c}$", true),
        ("*.a+b", "x.a+b", true),
        ("?.é", "ü.é", true),
        ("#a", "#a", false),
        (" a ", "a", true),
        ("/ a", "a", true),
        ("**/x", "a\nb/x", true),
        ("a**/x*", "a\nb/x", false),
        ("a*x", "a\nx", true),
        ("!a", "a", false),
        ("*\n!!a", "!a", false),
        ("*\n! a", "a", false),
        ("*\n!a", "b", true),
        ("*\n!..", "b", true),
    ];
    for (pattern, path, expected) in table {
        assert_eq!(
            ignored_by(pattern, path),
            expected,
            "{pattern:?} on {path:?}"
        );
    }
}

#[test]
fn names_that_are_not_utf8_are_matched_by_wildcards_only() {
    let judge = |pattern: &[u8], path: &[u8]| {
        let ignore = Ignore::parse(pattern).unwrap();
        ignore.judge(path, &Matched::default()).unwrap().0
    };
    assert!(judge(b"a?", b"a\xff"));
    assert!(judge(b"**\n", b"\xff"));
    assert!(!judge(b"a\xff", b"a\xff"));
    assert!(judge(b"?\xff", b"a\xff"));
}

#[test]
fn the_last_match_decides() {
    let patterns = "*.md\n!README*.md\nREADME-secret.md\n";
    assert!(ignored_by(patterns, "a.md"));
    assert!(!ignored_by(patterns, "README-old.md"));
    assert!(ignored_by(patterns, "README-secret.md"));
    let patterns = "*\n!src\nsrc/*.tmp";
    assert!(ignored_by(patterns, "docs/a"));
    assert!(!ignored_by(patterns, "src/a"));
    assert!(ignored_by(patterns, "src/a.tmp"));
    // A space after the exclamation mark, and line ends of Windows.
    let patterns = "*\r\n! a\r\n!/b/\r\n";
    assert!(!ignored_by(patterns, "a"));
    assert!(!ignored_by(patterns, "b/c"));
    assert!(ignored_by(patterns, "c"));
    assert!(!ignored_by("# *\n\n", "a"));
}

#[test]
fn an_exception_for_a_directory_does_not_include_what_is_ignored_in_it() {
    let patterns = "**/node_modules\n!packages\n";
    assert!(ignored_by(patterns, "packages/w/node_modules/x"));
    assert!(ignored_by(patterns, "node_modules"));
    assert!(!ignored_by(patterns, "packages/w/a"));
}

#[test]
fn a_pattern_after_an_exception_is_looked_up_only_where_it_could_decide() {
    let patterns = "build\n!build/output\n**/build\n";
    assert!(!ignored_by(patterns, "build/output/o.txt"));
    assert!(ignored_by(patterns, "build/x"));
    assert!(ignored_by(patterns, "build/output/build"));
    assert!(ignored_by(patterns, "a/build"));
}

#[test]
fn an_ignored_directory_is_searched_only_for_exceptions_that_may_be_in_it() {
    // As with Docker, `a/*/**` counts as `a`, so `a/x` is not searched.
    assert!(ignored_by("a\n!a/*/**", "a/x/y"));
    assert!(!ignored_by("a\n!a/**/y", "a/x/y"));
    assert!(!ignored_by("a\n!a/x/*", "a/x/y"));
    assert!(ignored_by("a\n!a/x/*", "a/z/y"));
}

#[test]
fn malformed_patterns_are_refused() {
    let refusal = |patterns: &str| {
        let parsed = Ignore::parse(patterns.as_bytes());
        parsed.err().map(|error| error.to_string())
    };
    for lone in ["!", "*\n!", "! ", "!/", "*\r\n!\r\n", "!/.."] {
        let expected = "illegal exclusion pattern: \"!\"";
        assert_eq!(refusal(lone).as_deref(), Some(expected), "{lone:?}");
    }
    for bad in [
        "[", "[]", "[]a]", "[-a]", "[a-]", "[a", "a\\", "[^]", "a/[b\n", "![", "*[a",
    ] {
        let refusal = refusal(bad).unwrap_or_default();
        assert!(refusal.starts_with("syntax error in pattern"), "{bad:?}");
    }
    for good in ["!a", "!!", "!.", "[a]]", "]", "{", "(", "a-]"] {
        assert_eq!(refusal(good), None, "{good:?}");
    }
    assert!(refusal(&"a".repeat(64 * 1024)).is_some());
}

#[test]
fn some_malformed_patterns_are_refused_when_they_are_used() {
    for bad in [
        "[b-a]",
        "\\é",
        "\\y",
        "\\C",
        "\\1",
        "[[:nope:]]",
        "[\\b]",
        "a[z-*]",
        "\\pL",
    ] {
        let ignore = Ignore::parse(bad.as_bytes()).unwrap();
        assert!(ignore.has_invalid(), "{bad:?}");
        assert!(ignore.judge(b"x", &Matched::default()).is_err(), "{bad:?}");
        // Everything is ignored already, so the second pattern is not used.
        let unused = Ignore::parse(format!("*\n{bad}").as_bytes()).unwrap();
        assert!(unused.judge(b"x", &Matched::default()).is_ok(), "{bad:?}");
    }
}

#[test]
fn a_hostile_pattern_is_matched_without_backtracking() {
    let pattern = "*a".repeat(200);
    let path = "a".repeat(2000) + "b";
    assert!(!ignored_by(&pattern, &path));
}
