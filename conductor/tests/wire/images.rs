use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Response};
use tacit_conductor::images::{Allowance, ImageError, Origin, probe};
use tacit_conductor::media::{Body, full};

use crate::image_server::{ImageServer, file, pattern};

const URL: &str = "http://image.test/disk.raw";

fn allow(origin: Origin) -> Allowance {
    let mut allowance = Allowance::new();
    allowance.allow(URL, origin);
    allowance
}

fn http(url: String) -> Origin {
    Origin::Http { url, authorization: None }
}

async fn ask(
    allowance: &Allowance,
    method: Method,
    url: &str,
    headers: &[(HeaderName, &str)],
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    allowance.serve(request.body(()).unwrap()).await
}

async fn get(allowance: &Allowance, headers: &[(HeaderName, &str)]) -> (u16, header::HeaderMap, Bytes) {
    let (parts, body) = ask(allowance, Method::GET, URL, headers).await.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn only_allowed_urls_are_answered() {
    let server = ImageServer::start(|request| file(request, &Bytes::from_static(b"data"), None)).await;
    let allowance = allow(http(server.url("/disk.raw")));
    for (method, url) in [
        (Method::GET, "http://image.test/other"),
        (Method::GET, "http://image.test/disk.raw?x"),
        (Method::GET, "https://image.test/disk.raw"),
        (Method::GET, "http://169.254.169.254/latest/meta-data"),
        (Method::GET, "/disk.raw"),
        (Method::CONNECT, "image.test:80"),
        (Method::POST, URL),
        (Method::DELETE, URL),
        (Method::GET, &server.url("/disk.raw")),
    ] {
        let response = ask(&allowance, method.clone(), url, &[]).await;
        assert_eq!(response.status(), 403, "{method} {url}");
    }
    assert_eq!(server.requests(), 0);
    assert_eq!(get(&allowance, &[]).await.2, "data");
}

#[tokio::test]
async fn ranges_and_tags_are_relayed() {
    let data = pattern(3_000_000);
    let served = data.clone();
    let server = ImageServer::start(move |request| file(request, &served, None)).await;
    let allowance = allow(http(server.url("/disk.raw")));

    let (status, headers, body) = get(&allowance, &[]).await;
    assert_eq!((status, body), (200, data.clone()));
    assert_eq!(headers[header::ETAG], "\"v1\"");
    assert_eq!(headers[header::CONTENT_LENGTH], "3000000");

    let asked =
        [(header::RANGE, "bytes=1000-1999"), (header::IF_RANGE, "\"v1\""), (header::COOKIE, "secret")];
    let (status, headers, body) = get(&allowance, &asked).await;
    assert_eq!((status, body), (206, data.slice(1000..2000)));
    assert_eq!(headers[header::CONTENT_RANGE], "bytes 1000-1999/3000000");
    let seen = server.seen.lock().unwrap().pop().unwrap().1;
    assert_eq!(seen[header::IF_RANGE], "\"v1\"");
    assert!(!seen.contains_key(header::COOKIE), "only what is needed is passed on");

    let head = ask(&allowance, Method::HEAD, URL, &[]).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()[header::CONTENT_LENGTH]),
        (200, &"3000000".parse().unwrap())
    );
}

#[tokio::test]
async fn an_origin_that_breaks_off_is_an_error_not_an_end() {
    let data = pattern(1_000_000);
    let served = data.clone();
    let server = ImageServer::start(move |request| {
        let whole = request.headers().contains_key(header::RANGE);
        file(request, &served, (!whole).then_some(400_000))
    })
    .await;
    let allowance = allow(http(server.url("/disk.raw")));
    let mut body = ask(&allowance, Method::GET, URL, &[]).await.into_body();
    let mut got = Vec::new();
    let error = loop {
        match body.frame().await.expect("a clean end would pass for the whole image") {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(!got.is_empty() && got.len() <= 400_000, "{} bytes, then {error}", got.len());
    let from = format!("bytes={}-", got.len());
    let (status, _, rest) = get(&allowance, &[(header::RANGE, &from), (header::IF_RANGE, "\"v1\"")]).await;
    assert_eq!(status, 206);
    got.extend_from_slice(&rest);
    assert_eq!(got, data);
}

#[tokio::test]
async fn troubles_of_the_origin_have_their_statuses() {
    let status = Arc::new(AtomicU16::new(0));
    let answer = Arc::clone(&status);
    let server = ImageServer::start(move |_| {
        Response::builder().status(answer.load(Ordering::SeqCst)).body(full("upstream text")).unwrap()
    })
    .await;
    let allowance = allow(http(server.url("/disk.raw?signature=geheim")));
    for (upstream, expected, retry) in [
        (500, 502, true),
        (502, 502, true),
        (503, 503, true),
        (429, 503, true),
        (408, 502, true),
        (404, 404, false),
        (401, 401, false),
    ] {
        status.store(upstream, Ordering::SeqCst);
        let (status, headers, body) = get(&allowance, &[]).await;
        assert_eq!((status, headers.contains_key(header::RETRY_AFTER)), (expected, retry), "{upstream}");
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains(&upstream.to_string()) && text.contains("/disk.raw"), "{text}");
        assert!(!text.contains("geheim"), "{text}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, headers, _) = get(&allow(http(format!("http://{free}/disk.raw"))), &[]).await;
    assert_eq!((status, headers.contains_key(header::RETRY_AFTER)), (502, true));
}

#[tokio::test]
async fn redirects_end_here_and_credentials_stay_at_their_host() {
    let store = ImageServer::start(|request| file(request, &Bytes::from_static(b"stored"), None)).await;
    let target = store.url("/blob");
    let front = ImageServer::start(move |request| {
        let to = match request.uri().path() {
            "/disk.raw" => "/moved".to_owned(),
            "/loop" => "/loop".to_owned(),
            _ => target.clone(),
        };
        Response::builder().status(302).header(header::LOCATION, to).body(full("")).unwrap()
    })
    .await;
    let authorization = Some("Bearer geheim".to_owned());
    let allowance = allow(Origin::Http { url: front.url("/disk.raw"), authorization });
    let (status, _, body) = get(&allowance, &[(header::RANGE, "bytes=1-2")]).await;
    assert_eq!((status, body.as_ref()), (206, &b"to"[..]));
    let seen = front.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(_, headers)| headers[header::AUTHORIZATION] == "Bearer geheim"));
    let stored = store.seen.lock().unwrap().pop().unwrap().1;
    assert!(!stored.contains_key(header::AUTHORIZATION), "credentials went to another host");

    let (status, ..) = get(&allow(http(front.url("/loop"))), &[]).await;
    assert_eq!(status, 502);
    assert_eq!(front.requests(), 2 + 6, "the first request and five redirects");
}

#[tokio::test]
async fn files_have_ranges_and_tags_that_change_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.raw");
    let data = pattern(600_000);
    std::fs::write(&path, &data).unwrap();
    let allowance = allow(Origin::File(path.clone()));
    let (status, headers, body) = get(&allowance, &[]).await;
    assert_eq!((status, body), (200, data.clone()));
    let tag = headers[header::ETAG].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"'), "strong: {tag}");
    let facts = probe(&Origin::File(path.clone())).await.unwrap();
    assert_eq!((facts.length, facts.etag.as_deref()), (Some(600_000), Some(tag.as_str())));

    let asked = [(header::RANGE, "bytes=500000-"), (header::IF_RANGE, tag.as_str())];
    let (status, _, body) = get(&allowance, &asked).await;
    assert_eq!((status, body), (206, data.slice(500_000..)));

    let replacement = directory.path().join("new");
    std::fs::write(&replacement, vec![1; 600_000]).unwrap();
    std::fs::rename(&replacement, &path).unwrap();
    let (status, _, body) = get(&allowance, &asked).await;
    assert_eq!((status, body.len()), (200, 600_000), "a replaced file begins anew");

    std::fs::remove_file(&path).unwrap();
    assert_eq!(get(&allowance, &[]).await.0, 404);
    let error = probe(&Origin::File(path)).await.unwrap_err();
    assert!(error.to_string().contains("disk.raw"), "{error}");
    assert!(probe(&Origin::File(directory.path().to_owned())).await.is_err(), "a directory is no image");
}

#[tokio::test]
async fn probing_finds_the_length_where_head_is_refused() {
    let data = pattern(5000);
    let served = data.clone();
    let server = ImageServer::start(move |request| match (request.method(), request.uri().path()) {
        (_, "/missing") => Response::builder().status(404).body(full("")).unwrap(),
        (&Method::HEAD, "/signed") => Response::builder().status(403).body(full("")).unwrap(),
        _ => file(request, &served, None),
    })
    .await;
    for path in ["/plain", "/signed"] {
        let facts = probe(&http(server.url(path))).await.unwrap();
        assert_eq!((facts.length, facts.etag.as_deref()), (Some(5000), Some("\"v1\"")), "{path}");
    }
    let error = probe(&http(server.url("/missing"))).await.unwrap_err();
    assert!(matches!(error, ImageError::Status { status: 404, .. }), "{error:?}");
    for url in ["ftp://image.test/x", "nonsense"] {
        assert!(matches!(probe(&http(url.to_owned())).await, Err(ImageError::Url(_))), "{url}");
    }
}
