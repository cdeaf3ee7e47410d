//! A bridge from HTTP to `git http-backend`, which uses CGI.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::WWW_AUTHENTICATE;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::command::command;
use super::lfs;
use super::request::header;

/// The largest request body: a push.
const LIMIT: usize = 64 * 1024 * 1024;

/// Access rules. They may change while the server runs.
#[derive(Debug, Default)]
pub(super) struct Access(Mutex<Rules>);

#[derive(Clone, Debug)]
struct Rules {
    /// The required `Authorization`, if any.
    authorization: Option<String>,
    any_sha: bool,
    /// The base of the URLs of files in Git LFS, if they are on another server.
    large_files_at: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            authorization: None,
            any_sha: true,
            large_files_at: None,
        }
    }
}

impl Access {
    pub(super) fn require_login(&self, user: &str, password: &str) {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.change(|rules| rules.authorization = Some(format!("Basic {credentials}")));
    }

    pub(super) fn allow_any_sha(&self, allow: bool) {
        self.change(|rules| rules.any_sha = allow);
    }

    pub(super) fn large_files_at(&self, base: &str) {
        self.change(|rules| rules.large_files_at = Some(base.to_owned()));
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn rules(&self) -> Rules {
        let rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.clone()
    }
}

/// A server on its own thread, so that it works with every test runtime.
pub(super) struct Server {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Server {
    pub(super) fn start(root: PathBuf, access: Arc<Access>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (root, access) = (Data::new(root), Data::from(access));
        let (started, handle) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    App::new()
                        .app_data(root.clone())
                        .app_data(access.clone())
                        .app_data(web::PayloadConfig::new(LIMIT))
                        .default_service(web::to(serve))
                };
                let server = HttpServer::new(app)
                    .workers(1)
                    .disable_signals()
                    .listen(listener)
                    .expect("a server on the bound port")
                    .run();
                let _ = started.send(server.handle());
                server.await
            })
        });
        Self {
            address,
            handle: handle.recv().expect("the server starts"),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The call sends the stop command; the future would only wait for the end.
        drop(self.handle.stop(false));
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

async fn serve(
    request: HttpRequest,
    body: Bytes,
    root: Data<PathBuf>,
    access: Data<Access>,
) -> HttpResponse {
    if let Some(object) = lfs::object(&request, &root) {
        return object;
    }
    let rules = access.rules();
    let given = header(&request, "Authorization");
    if rules.authorization.is_some() && rules.authorization.as_deref() != given {
        return HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "Basic realm=\"git\""))
            .body("authentication required");
    }
    if let Some(response) = lfs::answer(&request, &body, &root, rules.large_files_at.as_deref()) {
        return response;
    }
    match backend(&request, &body, &root, &rules).await {
        Ok(output) => response(&output),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// Runs `git http-backend`, and returns its output: CGI headers and a body.
async fn backend(
    request: &HttpRequest,
    body: &[u8],
    root: &Path,
    rules: &Rules,
) -> std::io::Result<Vec<u8>> {
    let home = root.with_file_name("home");
    let mut command = Command::from(command(&home));
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", request.query_string())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "uploadpack.allowAnySHA1InWant")
        .env("GIT_CONFIG_VALUE_0", rules.any_sha.to_string())
        .env("GIT_CONFIG_KEY_1", "uploadpack.allowFilter")
        .env("GIT_CONFIG_VALUE_1", "true");
    for (name, variable) in [
        ("Content-Type", "CONTENT_TYPE"),
        ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
    ] {
        if let Some(value) = header(request, name) {
            command.env(variable, value);
        }
    }
    // Protocol version 2 serves any commit by its id, so use it only if that is allowed.
    if let Some(protocol) = header(request, "Git-Protocol").filter(|_| rules.any_sha) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // The backend may close its input early; its response is what counts.
            let _ = stdin.write_all(body).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    Ok(output?.stdout)
}

fn response(output: &[u8]) -> HttpResponse {
    let end = b"\r\n\r\n";
    let Some(at) = output.windows(end.len()).position(|four| four == end) else {
        return HttpResponse::InternalServerError().body("git http-backend returned no headers");
    };
    let headers = String::from_utf8_lossy(&output[..at]);
    let mut response = HttpResponse::Ok();
    for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("Status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            let status = code.and_then(|code: u16| StatusCode::from_u16(code).ok());
            response.status(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        } else {
            response.append_header((name, value));
        }
    }
    response.body(output[at + end.len()..].to_vec())
}
