//! Resolves the `Location` of a redirect. Pure.
//!
//! In: a URI reference, and the path of the request. Out: the path to which it leads, and the scheme and authority that it states
//! (RFC 3986, 5.2). Left to others: whether the agent may follow it there.

use hyper::http::uri::PathAndQuery;

/// The place to which a reference leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RedirectTarget<'r> {
    /// `None`: that of the request.
    pub(super) scheme: Option<&'r str>,
    /// `None`: that of the request, unless there is a scheme: then the reference names no host.
    pub(super) authority: Option<&'r str>,
    /// The path, which begins with a slash, and the query. The fragment is not part of a request.
    pub(super) path: String,
}

impl<'r> RedirectTarget<'r> {
    /// Resolves `reference`, found in the answer to a request for `base`.
    pub(super) fn resolve(reference: &'r str, base: &PathAndQuery) -> Self {
        let (reference, _) = reference.split_once('#').unwrap_or((reference, ""));
        let (rest, query) = match reference.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (reference, None),
        };
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, rest),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        let is_of_base = scheme.is_none() && authority.is_none();
        let (path, query) = match path {
            "" if is_of_base => (base.path().to_owned(), query.or_else(|| base.query())),
            relative if is_of_base && !relative.starts_with('/') => {
                let (folder, _) = base.path().rsplit_once('/').unwrap_or_default();
                (without_dots(&format!("{folder}/{relative}")), query)
            }
            path => (without_dots(path), query),
        };
        Self {
            scheme,
            authority,
            path: match query {
                Some(query) => format!("{path}?{query}"),
                None => path,
            },
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The path without its segments `.` and `..` (RFC 3986, 5.2.4). What precedes the first slash is dropped.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
        let is_folder = matches!(segment, "." | "..");
        if is_folder && segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reference_is_resolved_as_in_the_tables_of_rfc_3986() {
        // Sections 5.4.1 and 5.4.2: the base is http://a/b/c/d;p?q.
        let base = PathAndQuery::from_static("/b/c/d;p?q");
        for (reference, path) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x", "/b/c/g;x"),
            ("g;x?y#s", "/b/c/g;x?y"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("../../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            (".g", "/b/c/.g"),
            ("g..", "/b/c/g.."),
            ("..g", "/b/c/..g"),
            ("./../g", "/b/g"),
            ("./g/.", "/b/c/g/"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g;x=1/./y", "/b/c/g;x=1/y"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/./x", "/b/c/g?y/./x"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("g#s/./x", "/b/c/g"),
            ("./g:h", "/b/c/g:h"),
        ] {
            let expected = RedirectTarget {
                scheme: None,
                authority: None,
                path: path.to_owned(),
            };
            assert_eq!(
                RedirectTarget::resolve(reference, &base),
                expected,
                "{reference}"
            );
        }
        for (reference, scheme, authority, path) in [
            ("//g", None, Some("g"), "/"),
            ("//g:1?y", None, Some("g:1"), "/?y"),
            ("g:h", Some("g"), None, "/"),
            ("http:g", Some("http"), None, "/"),
            ("http://u@g/a/../b?c#d", Some("http"), Some("u@g"), "/b?c"),
            ("http://[::1]:1/x", Some("http"), Some("[::1]:1"), "/x"),
            ("http:///g", Some("http"), Some(""), "/g"),
        ] {
            let expected = RedirectTarget {
                scheme,
                authority,
                path: path.to_owned(),
            };
            assert_eq!(
                RedirectTarget::resolve(reference, &base),
                expected,
                "{reference}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_reference_leads_to_an_absolute_path_without_dots(reference in "[a.:/?#]{0,12}|\\PC*") {
            let base = PathAndQuery::from_static("/metrics");
            let target = RedirectTarget::resolve(&reference, &base);
            let path = target.path.split('?').next().unwrap_or_default();
            prop_assert!(path.starts_with('/') && !path.split('/').any(|part| part == "." || part == ".."));
        }
    }
}
