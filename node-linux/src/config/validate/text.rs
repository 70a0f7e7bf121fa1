//! Forms of text: URLs, addresses.

use url::Url;

/// A URL of one of `schemes`, with a host, or of one of `path_schemes`, with a path. The message never holds the text.
pub(super) fn url(text: &str, schemes: &[&str], path_schemes: &[&str]) -> Result<(), String> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if path_schemes.contains(&scheme) {
        return if text.len() > scheme.len() + 1 { Ok(()) } else { Err(format!("a path is missing after {scheme}:")) };
    }
    if !schemes.contains(&scheme) {
        let known: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://…")).collect();
        let known = known.into_iter().chain(path_schemes.iter().map(|scheme| format!("{scheme}:PATH")));
        return Err(format!("not one of {}", known.collect::<Vec<_>>().join(", ")));
    }
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if url.host_str().is_none_or(str::is_empty) { Err("the URL names no host".into()) } else { Ok(()) }
}

/// Whether the server at this URL of PostgreSQL, elsewhere than on this machine, decides about encryption: without
/// `sslmode` it does.
pub(super) fn leaves_encryption_open(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let mode = url.query_pairs().find(|(key, _)| matches!(&**key, "sslmode" | "ssl-mode")).map(|(_, mode)| mode);
    matches!(url.scheme(), "postgres" | "postgresql")
        && !is_loopback(url.host_str().unwrap_or_default())
        && mode.is_none_or(|mode| matches!(&*mode, "allow" | "prefer"))
}

/// Whether nobody but this machine hears what is said to `host`.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A base URL: `http` or `https`, without query and fragment.
pub(super) fn http_url(text: &str) -> Result<(), String> {
    let url = page_url(text)?;
    match (url.query(), url.fragment()) {
        (None, None) => Ok(()),
        _ => Err(format!("a base URL has neither query nor fragment, found {text:?}")),
    }
}

/// The URL of a page.
pub(super) fn page_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(format!("expected http://… or https://…, found {text:?}"))
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn host_and_port(text: &str) -> Result<(), String> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_fits = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '/', '[', ']']) && !host.contains(char::is_whitespace),
        };
        host_fits && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(()) } else { Err(format!("expected HOST:PORT, found {text:?}")) }
}

/// `user@domain` or `Name <user@domain>`; the mail adapter has the last word.
pub(super) fn mail_address(text: &str) -> Result<(), String> {
    let address = text.rsplit_once('<').map_or(text, |(_, address)| address.trim_end_matches('>'));
    let valid = address.rsplit_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty());
    if valid && !address.contains(char::is_whitespace) && !text.contains(char::is_control) {
        Ok(())
    } else {
        Err(format!("expected a mail address, found {text:?}"))
    }
}
