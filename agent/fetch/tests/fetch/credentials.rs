use http::HeaderValue;

use crate::server::Server;
use crate::{all, direct, url};

#[test]
fn only_their_own_origin_sees_them() {
    let elsewhere = Server::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let location = elsewhere.url("/image");
    let home =
        Server::says(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
    let image = url(&home.url("/image"));
    let fetcher = direct().with_authorization(HeaderValue::from_static("Bearer Secret"), &image);
    assert_eq!(all(fetcher.open(&image, 0, None, None).unwrap()), b"ok");
    assert_eq!(fetcher.document(&url(&home.url("/sums")), 10).unwrap(), b"ok");
    // A document of another host: not by a redirect, but asked for.
    assert_eq!(fetcher.document(&url(&elsewhere.url("/config-drive")), 10).unwrap(), b"ok");
    let shown = |server: &Server| -> Vec<bool> {
        server.asked().iter().map(|asked| asked.field("authorization") == Some("bearer secret")).collect()
    };
    assert_eq!(shown(&home), [true, true]);
    assert_eq!(elsewhere.asked().len(), 3);
    assert!(elsewhere.asked().iter().all(|asked| asked.field("authorization").is_none()));
}
