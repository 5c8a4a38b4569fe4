//! Certificates of an authority of the test's own, made by openssl.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::process::{RedisProcess, TLS_PORT};

/// An authority, and what it has signed.
pub struct Authority {
    dir: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        let subject = ["-x509", "-days", "2", "-subj", "/CN=an authority of a test"];
        openssl(&[
            &["req"],
            NEW_KEY,
            &["-keyout"],
            &[&authority.path("ca.key")],
            &["-out"],
            &[&authority.ca()],
            &subject,
        ]);
        // For servers and clients alike, for this machine's address only.
        let (request, signed) = (authority.path("server.csr"), authority.path("server.crt"));
        let key = authority.path("server.key");
        openssl(&[&["req"], NEW_KEY, &["-keyout", &key, "-out", &request, "-subj", "/CN=redis"]]);
        let names = authority.path("names");
        fs::write(&names, "subjectAltName=IP:127.0.0.1").expect("a file");
        let by = ["-CA", &authority.ca(), "-CAkey", &authority.path("ca.key"), "-CAcreateserial"];
        let what = ["-in", &request, "-out", &signed, "-extfile", &names, "-days", "2"];
        openssl(&[&["x509", "-req"], &by, &what]);
        authority
    }

    /// Who is to be trusted.
    pub fn ca(&self) -> String {
        self.path("ca.crt")
    }

    pub fn cert(&self) -> String {
        self.path("server.crt")
    }

    pub fn key(&self) -> String {
        self.path("server.key")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Settings of a server that speaks TLS on a port of its own beside the plain one. `clients`: whether they show a
    /// certificate (`yes`, `no`).
    pub fn settings(&self, clients: &str) -> Vec<String> {
        let words = ["--tls-port", TLS_PORT, "--tls-cert-file", &self.cert(), "--tls-key-file", &self.key()];
        let more = ["--tls-ca-cert-file", &self.ca(), "--tls-auth-clients", clients];
        words.iter().chain(&more).map(|word| (*word).to_owned()).collect()
    }

    /// The address of such a server, with this authority trusted.
    pub fn url(&self, server: &RedisProcess) -> String {
        format!("rediss://127.0.0.1:{}?ca={}", server.tls_port(), self.ca())
    }
}

const NEW_KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn openssl(words: &[&[&str]]) {
    let made = Command::new("openssl").args(words.concat()).output().expect("openssl is in the PATH");
    assert!(made.status.success(), "{words:?}: {}", String::from_utf8_lossy(&made.stderr));
}
