use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HeaderName};
use tacit_conductor::media::{MediaServer, new_token};

use crate::image_server::{ask, pattern};

async fn server() -> MediaServer {
    MediaServer::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap()
}

fn text(response: &hyper::Response<Bytes>, name: HeaderName) -> &str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn a_registered_medium_is_served_with_ranges_and_nothing_else_is() {
    let (server, data) = (server().await, pattern(700_000));
    let token = new_token();
    server.register(&token, data.clone());
    let path = format!("/media/{token}.iso");
    assert_eq!(server.url(&token), format!("http://{}{path}", server.local_address()));
    let ask = |method, path, headers| ask(server.local_address(), method, path, headers);

    let whole = ask(Method::GET, &path, &[]).await;
    assert_eq!((whole.status().as_u16(), whole.body()), (200, &data));
    assert_eq!(text(&whole, header::CONTENT_LENGTH), "700000");
    assert_eq!(text(&whole, header::ACCEPT_RANGES), "bytes");
    assert_eq!(text(&whole, header::CONTENT_TYPE), "application/octet-stream");

    let head = ask(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status().as_u16(), text(&head, header::CONTENT_LENGTH)), (200, "700000"));
    assert!(head.body().is_empty());

    // Over the border between two chunks.
    let part = ask(Method::GET, &path, &[(header::RANGE, "bytes=262000-263000")]).await;
    assert_eq!((part.status().as_u16(), part.body()), (206, &data.slice(262_000..263_001)));
    assert_eq!(text(&part, header::CONTENT_RANGE), "bytes 262000-263000/700000");
    let tail = ask(Method::GET, &path, &[(header::RANGE, "bytes=-5")]).await;
    assert_eq!(*tail.body(), data.slice(699_995..));
    let beyond = ask(Method::GET, &path, &[(header::RANGE, "bytes=700000-")]).await;
    assert_eq!((beyond.status().as_u16(), text(&beyond, header::CONTENT_RANGE)), (416, "bytes */700000"));

    assert_eq!(ask(Method::POST, &path, &[]).await.status(), 405);
    let other = format!("/media/{}.iso", new_token());
    let (bare, deeper) = (&path[..path.len() - 4], format!("/x{path}"));
    for path in ["/", "/media/", "/media/.iso", bare, &other, &deeper] {
        assert_eq!(ask(Method::GET, path, &[]).await.status(), 404, "{path}");
    }
    assert!(server.unregister(&token));
    assert_eq!(ask(Method::GET, &path, &[]).await.status(), 404);
}

#[tokio::test]
async fn fetching_is_noticed_at_the_first_byte() {
    let server = server().await;
    server.register("t", pattern(1000));
    let ask = |method, headers| ask(server.local_address(), method, "/media/t.iso", headers);
    ask(Method::HEAD, &[]).await;
    let access = server.access("t").unwrap();
    assert_eq!((access.requests, access.bytes, access.first_at), (1, 0, None), "HEAD fetches nothing");

    let (fetched, _) =
        tokio::join!(server.wait_fetched("t"), ask(Method::GET, &[(header::RANGE, "bytes=10-29")]));
    let fetched = fetched.unwrap();
    assert_eq!((fetched.requests, fetched.bytes, fetched.end), (2, 20, 30));
    assert!(fetched.first_at.is_some() && fetched.last_at >= fetched.first_at);
}

#[tokio::test]
async fn waiting_for_a_medium_ends_when_it_is_taken_away() {
    let server = server().await;
    assert_eq!(server.wait_fetched("t").await, None);
    server.register("t", pattern(10));
    let (fetched, removed) = tokio::join!(server.wait_fetched("t"), async { server.unregister("t") });
    assert_eq!((fetched, removed), (None, true));
}
