//! The user that docs/OPERATIONS.md says is enough.

/// The rules of that user, one each, for a single server; `more` for other kinds.
pub fn least(more: &[&str]) -> Vec<String> {
    let page = include_str!("../../../docs/OPERATIONS.md");
    let (_, rest) = page.split_once("ACL SETUSER ruang on >PASSWORD ").expect("the ACL is documented");
    let (rules, _) = rest.split_once("```").expect("it ends");
    rules.split_whitespace().chain(more.iter().copied()).map(str::to_owned).collect()
}

/// The same as settings of a server, with the password `secret`.
pub fn settings(more: &[&str]) -> Vec<String> {
    let mut settings: Vec<_> = ["--user", "ruang", "on", ">secret"].map(str::to_owned).into();
    settings.extend(least(more));
    settings
}

/// An address with that user.
pub fn with_user(url: &str) -> String {
    url.replacen("://", "://ruang:secret@", 1)
}
