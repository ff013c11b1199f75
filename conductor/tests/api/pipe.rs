//! The command line when nobody reads what it says.

use std::process::{Command, Stdio};

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_further_is_no_failure() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async { axum::serve(listener, Site::new().app()).await.unwrap() });
    for (arguments, code) in [
        (["node", "list"].as_slice(), 0),
        (&["port", "list", "--json"], 0),
        // What goes to standard error is read by nobody, either.
        (&["node", "show", "nobody"], 1),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacit"));
        command.args(arguments).env("TACIT_URL", &url).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            drop((child.stdout.take(), child.stderr.take()));
            child.wait().unwrap()
        });
        assert_eq!(ended.await.unwrap().code(), Some(code), "{arguments:?}");
    }
    served.abort();
}
