//! URLs in one form, so that the same page is fetched once.

use url::Url;

/// Longer URLs are not followed.
const LENGTH_MAX: usize = 2048;

/// The URL a link leads to, in normal form (RFC 3986, 6.2.2): absolute, without fragment and credentials, needless
/// percent-encoding undone. None for anything but HTTP, and for URLs longer than 2048 bytes.
pub(super) fn normalize(base: &Url, link: &str) -> Option<Url> {
    let link = link.trim();
    if link.is_empty() || link.len() > LENGTH_MAX {
        return None;
    }
    let mut url = base.join(link).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return None;
    }
    url.set_fragment(None);
    if !url.username().is_empty() || url.password().is_some() {
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
    }
    let path = plain(url.path());
    url.set_path(&path);
    let query = url.query().filter(|query| !query.is_empty()).map(plain);
    url.set_query(query.as_deref());
    (url.as_str().len() <= LENGTH_MAX).then_some(url)
}

/// Scheme, host and port, as text.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Decodes what need not be encoded, and writes the rest in capitals.
fn plain(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        output.push_str(before);
        rest = after;
        let byte = after
            .get(..2)
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                let c = char::from(byte);
                if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~') {
                    output.push(c);
                } else {
                    output.push_str(&format!("%{byte:02X}"));
                }
                rest = after.get(2..).unwrap_or_default();
            }
            None => output.push('%'),
        }
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_has_one_url() {
        let base = Url::parse("http://example.org/a/b.html?x=1").unwrap();
        let cases = [
            ("c.html", "http://example.org/a/c.html"),
            ("./c.html#part", "http://example.org/a/c.html"),
            ("#top", "http://example.org/a/b.html?x=1"),
            ("../", "http://example.org/"),
            ("?page=2", "http://example.org/a/b.html?page=2"),
            ("/c?", "http://example.org/c"),
            ("HTTP://EXAMPLE.org:80/", "http://example.org/"),
            ("//other.example/x", "http://other.example/x"),
            ("https://user:secret@example.org/x", "https://example.org/x"),
            ("/%7euser/%c3%a9?q=%2f%41", "http://example.org/~user/%C3%A9?q=%2FA"),
            ("/é", "http://example.org/%C3%A9"),
            ("/100%", "http://example.org/100%"),
            ("  /c \n", "http://example.org/c"),
            ("/a/../b/./c", "http://example.org/b/c"),
        ];
        for (link, expected) in cases {
            assert_eq!(normalize(&base, link).map(String::from).as_deref(), Some(expected), "{link:?}");
        }
        for link in ["mailto:a@example.org", "javascript:void(0)", "ftp://example.org/", "", "data:,x", "http://"] {
            assert_eq!(normalize(&base, link), None, "{link:?}");
        }
        assert_eq!(normalize(&base, &format!("/{}", "a".repeat(3000))), None);
    }

    #[test]
    fn normal_form_is_its_own_normal_form() {
        let base = Url::parse("http://example.org/").unwrap();
        for link in ["/%7euser/%c3%a9?q=%2f%41", "/100%/%zz", "/a%2Fb", "/%25%34%31", "/%2e%2e/x"] {
            let once = normalize(&base, link).unwrap();
            assert_eq!(normalize(&base, once.as_str()), Some(once.clone()), "{link:?}");
        }
    }
}
