//! Settings of how the server is reached: pages, proxies, paths.

use clap::Args;

use crate::http::front::{AllowedOrigin, BasePath, ForwardedBy, FrontOptions, Network, Proxies, PublicUrl};

/// How the server is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pages and proxies")]
pub struct FrontArgs {
    /// Web pages that may use this server: their origins, such as `https://app.example.com` or
    /// `https://*.example.com`. Its own pages may always; without a list and without authentication, those of this
    /// machine too.
    #[arg(long, env = "RUANG_ALLOW_ORIGIN", value_name = "ORIGIN,…", value_delimiter = ',')]
    pub allow_origin: Vec<AllowedOrigin>,

    /// Proxies whose word on their clients is taken: addresses and networks, such as `127.0.0.1,10.0.0.0/8`.
    #[arg(long, env = "RUANG_TRUSTED_PROXIES", value_name = "NETWORK,…", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,

    /// How many proxies stand in a row: with --trusted-proxies at most so many of those, without it the last ones.
    #[arg(long, env = "RUANG_TRUSTED_HOPS", value_name = "N")]
    pub trusted_hops: Option<usize>,

    /// Which headers they write: X-Forwarded-For, -Proto, -Host and -Prefix, or Forwarded.
    #[arg(long, env = "RUANG_FORWARDED_BY", value_name = "HEADERS", value_enum, default_value_t)]
    pub forwarded_by: ForwardedBy,

    /// Serve everything below this path too, such as `/ruang`.
    #[arg(long, env = "RUANG_BASE_PATH", value_name = "PATH", default_value = "")]
    pub base_path: BasePath,

    /// The address that clients are told, such as `https://example.com/ruang`; else what their request was sent to.
    #[arg(long, env = "RUANG_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,
}

impl FrontArgs {
    /// How the server is reached; `development`: nobody needs a token.
    #[must_use]
    pub fn options(&self, development: bool) -> FrontOptions {
        FrontOptions {
            allowed: self.allow_origin.clone(),
            development,
            proxies: Proxies {
                networks: self.trusted_proxies.clone(),
                hops: self.trusted_hops,
                by: self.forwarded_by,
            },
            base: self.base_path.clone(),
            public: self.public_url.clone(),
        }
    }
}
