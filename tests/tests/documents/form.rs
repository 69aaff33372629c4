//! Whether what a command prints has the form that a document shows: the same lines, with other numbers, paths and names.

/// What the document shows and the command did not print. A line `...` stands for any lines.
pub(crate) fn missing<'a>(shown: &'a [String], printed: &str) -> Vec<&'a str> {
    let printed: Vec<String> = printed.lines().map(form).collect();
    shown.iter().filter(|line| *line != "..." && !printed.contains(&form(line))).map(String::as_str).collect()
}

/// A line without what is different from one machine to the next.
fn form(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
        let is_particular =
            bare.contains("://") || bare.starts_with('/') || bare.starts_with(|c: char| c.is_ascii_digit());
        if is_particular { word.replace(bare, "*") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paths_may_differ_and_words_may_not() {
        let shown = ["api: http://a/api answered in 9 ms", "...", "is `/usr/bin/python3` ok"].map(str::to_owned);
        let printed = "x\napi: http://127.0.0.1:1/api answered in 12 ms\nis `/opt/python` ok";
        assert!(missing(&shown, printed).is_empty());
        assert_eq!(missing(&shown, "api: http://a/api is gone in 9 ms\nis `/bin/sh` ok"), [&shown[0]]);
    }
}
