//! Requests that no honest client sends.

use reqwest::RequestBuilder;

/// One way to spoil a request.
#[derive(Clone, Debug)]
pub(super) enum Variant {
    /// Replaces the last segment of the path.
    Segment(&'static str),
    /// Appends a query.
    Query(&'static str),
    /// Adds a header.
    Header(&'static str, &'static str),
    /// Sends a body of this media type.
    Body(&'static str, Vec<u8>),
}

const SEGMENTS: [&str; 12] = [
    "%00",
    "%ff%fe",
    "-1",
    "0",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "'%20OR%201=1--",
    "%F0%9F%92%A9",
    "a%0d%0aX-Injected:%201",
];
const QUERIES: [&str; 10] = [
    "page=-1&per_page=-1&limit=-1",
    "page=99999999999999999999&per_page=99999999999999999999&limit=99999999999999999999",
    "page=NaN&limit=1e400&before=x&start=x",
    "ref=%00&token=%00&job=%00",
    "token[]=a&token[b]=c&private_token[]=d",
    "expire_in=999999999999999999999+years",
    "state=%ff&scope=%ff&scope[]=%ff",
    "expires=99999999999999999999999&signature=%ff",
    "since=99999999999999999999&before=-9223372036854775808&after=9223372036854775807",
    "%",
];
const HEADERS: [(&str, &str); 12] = [
    ("Range", "bytes=0-99999999999999999999999"),
    ("Range", "bytes=9-1,-,a-b"),
    ("Content-Range", "9223372036854775807-9223372036854775808"),
    ("Content-Range", "-1--5"),
    ("Last-Event-ID", "99999999999999999999999"),
    ("Prefer", "wait=99999999999999999999999"),
    ("If-None-Match", "\"\\\"*"),
    ("Authorization", "Basic ////"),
    ("Authorization", "Bearer "),
    ("X-Forwarded-For", "::ffff:999.1.1.1, ,"),
    ("X-GitHub-Event", "push"),
    ("Accept", "text/html;q=9999,*/*;q=NaN"),
];

/// All variants that make sense for a method.
pub(super) fn variants(method: &str) -> Vec<Variant> {
    let segments = SEGMENTS.into_iter().map(Variant::Segment);
    let queries = QUERIES.into_iter().map(Variant::Query);
    let headers = HEADERS
        .into_iter()
        .map(|(name, value)| Variant::Header(name, value));
    let mut variants: Vec<Variant> = segments.collect();
    // They would carry out what the path names.
    if method == "GET" {
        variants.extend(queries.chain(headers));
    }
    if method != "GET" && method != "DELETE" {
        variants.extend(bodies());
    }
    variants
}

fn bodies() -> Vec<Variant> {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let json = |text: String| Variant::Body(JSON, text.into_bytes());
    let member = |value: &str| {
        let members = [
            "token",
            "name",
            "description",
            "sha",
            "ref",
            "tags",
            "info",
            "state",
            "trace",
            "variables",
            "role",
            "scopes",
            "expires_at",
            "repo_url",
            "definition",
            "definition",
        ];
        let members: Vec<String> = members
            .iter()
            .map(|member| format!("\"{member}\":{value}"))
            .collect();
        json(format!("{{{}}}", members.join(",")))
    };
    vec![
        json(String::new()),
        json("{".to_owned()),
        json("null".to_owned()),
        json("[]".to_owned()),
        json("\"text\"".to_owned()),
        json("[".repeat(20_000)),
        json("{\"a\":".repeat(20_000)),
        json(format!("{{\"token\":{}1}}", "9".repeat(2000))),
        member("null"),
        member("1e400"),
        member("-9223372036854775809"),
        member("\"\\u0000\""),
        member("\"\\ud800\""),
        member("[[[[]]]]"),
        member("{\"a\":{\"b\":[]}}"),
        member(&format!("\"{}\"", "x".repeat(5000))),
        Variant::Body(JSON, b"{\"name\":\"\xff\xfe\"}".to_vec()),
        Variant::Body(JSON, vec![0; 1000]),
        Variant::Body(FORM, b"token=%00&name=%ff&state=%".to_vec()),
        Variant::Body(FORM, "a[".repeat(5000).into_bytes()),
        Variant::Body("multipart/form-data", b"--b\r\n\r\n".to_vec()),
        Variant::Body(
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n".to_vec(),
        ),
        Variant::Body(
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../x\0\"\r\n\r\nx"
                .to_vec(),
        ),
        Variant::Body("text/plain; charset=\"", b"text".to_vec()),
    ]
}

impl Variant {
    /// The path of the request.
    pub(super) fn path(&self, path: &str) -> String {
        match self {
            Self::Segment(segment) => match path.rsplit_once('/') {
                Some((before, _)) => format!("{before}/{segment}"),
                None => path.to_owned(),
            },
            Self::Query(query) => {
                let first = if path.contains('?') { '&' } else { '?' };
                format!("{path}{first}{query}")
            }
            Self::Header(..) | Self::Body(..) => path.to_owned(),
        }
    }

    /// Adds header and body.
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Segment(_) | Self::Query(_) => request,
            Self::Header(name, value) => request.header(*name, *value),
            Self::Body(media_type, body) => request
                .header("Content-Type", *media_type)
                .body(body.clone()),
        }
    }

    /// What the variant is, for a report.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Segment(segment) => format!("the segment {segment}"),
            Self::Query(query) => format!("the query {query}"),
            Self::Header(name, value) => format!("{name}: {value}"),
            Self::Body(media_type, body) => {
                let start = body.get(..body.len().min(60)).unwrap_or_default();
                format!("{media_type} {:?}", String::from_utf8_lossy(start))
            }
        }
    }
}
