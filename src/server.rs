//! `ruang serve`: opens the store, listens, and ends in good order.

mod admin;
mod connections;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::connections::exchange;
use crate::auth::{Auth, SettingsError, keeper};
use crate::config::{Config, Store};
use crate::http::front::{Front, FrontOptions};
use crate::http::{self, App};
use crate::ids::InstanceId;
use crate::kind::Boards;
use crate::life::{Archive, LifeOptions};
use crate::limits::{DRAIN_MS_MAX, LISTEN_BACKLOG, WEBHOOK_GOODBYE_MS};
use crate::log::embedded::{EmbeddedLog, OpenError};
use crate::log::memory::MemoryLog;
use crate::log::redis::{RedisLog, RedisOpenError, RedisOptions};
use crate::log::{Durability, Log, LogError};
use crate::room::{Rooms, RoomsOptions};
use crate::shutdown;
use crate::telemetry::Metrics;
use crate::webhooks::{Notices, WebhookSettingsError};

/// Why the server does not start or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// `--listen` names an address that others can reach, and nothing protects the rooms.
    #[error(
        "--listen {0}: anyone who reaches this address could read and write every room; \
         listen on 127.0.0.1, or say --insecure"
    )]
    Exposed(SocketAddr),
    /// `--durability` asks for more than the store gives.
    #[error("--durability fsync: the store {store} gives {given}{why}; use --store file:DIR")]
    Durability {
        /// The store as set.
        store: Store,
        /// What it gives.
        given: Durability,
        /// Why no more, with what parts it from the text before; may be empty.
        why: String,
    },
    /// The port cannot be had.
    #[error("--listen {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// `--admin-listen` names an address that others can reach, and there is no credential.
    #[error(
        "--admin-listen {0}: anyone who reaches this address could send everybody away; listen on 127.0.0.1, or \
         set RUANG_ADMIN_TOKEN or --admin-token-file"
    )]
    AdminExposed(SocketAddr),
    /// The admin listener's port cannot be had.
    #[error("--admin-listen {address}: {source}")]
    AdminListen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("--store {store}: {source}")]
    Store {
        /// The store as set.
        store: Store,
        /// What is wrong with it.
        source: OpenError,
    },
    /// Redis cannot be used.
    #[error("--store {store}: {source}")]
    Redis {
        /// The store as set, without its password.
        store: Store,
        /// What is wrong with it.
        source: RedisOpenError,
    },
    /// The archive cannot be used.
    #[error("--archive {}: {source}", directory.display())]
    Archive {
        /// What was asked for.
        directory: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Webhooks cannot be told.
    #[error(transparent)]
    Webhooks(#[from] WebhookSettingsError),
    /// Tokens cannot be looked at as it is set.
    #[error(transparent)]
    Auth(#[from] SettingsError),
    /// The store does not say which tokens are revoked.
    #[error("--store {store}: what is revoked cannot be read: {source}")]
    Revocations {
        /// The store as set.
        store: Store,
        /// Why not.
        source: LogError,
    },
    /// Signals cannot be watched.
    #[error("signals cannot be watched: {0}")]
    Signals(std::io::Error),
}

impl ServeError {
    /// Whether a setting has to change before it can work.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        let away = matches!(self, Self::Redis { source: RedisOpenError::Unreachable(_), .. });
        !away && !matches!(self, Self::Signals(_) | Self::Revocations { .. })
    }
}

/// Serves until a signal comes, then drains: no new sockets, appends finish, clients are sent away
/// over a few seconds.
///
/// # Errors
/// [`ServeError`] if it cannot start.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let auth = Arc::new(Auth::from_settings(&config.auth)?);
    if auth.is_open() && !config.listen.ip().is_loopback() && !config.insecure {
        return Err(ServeError::Exposed(config.listen));
    }
    let credential = admin::credential(&config)?;
    raise_open_files();
    let stop = shutdown::on_signal().map_err(ServeError::Signals)?;
    if auth.is_reloadable() {
        shutdown::on_hangup(reload(&auth)).map_err(ServeError::Signals)?;
    }
    let app = open(&config, auth).await?;
    let admin = admin::open_socket(&config.store, &app);
    let listener =
        listen(config.listen).map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    if app.auth.is_open() {
        tracing::warn!("no authentication: everyone who reaches {address} may read and write every room");
    } else {
        tracing::info!(
            "tokens for single documents are signed with a key from {}",
            app.auth.document_key_from()
        );
    }
    tracing::info!(
        store = %config.store, durability = %app.log.durability(), version = env!("CARGO_PKG_VERSION"),
        "listening on http://{address}"
    );
    let ending = CancellationToken::new();
    admin::open_listener(&config, &app, credential, &ending)?;
    run(app, listener, stop).await;
    ending.cancel();
    if let Some((ending, serving)) = admin {
        ending.cancel();
        let _ = timeout(CLOSE_PATIENCE, serving).await;
    }
    Ok(())
}

/// Reads the keys again.
fn reload(auth: &Arc<Auth>) -> impl Fn() + Send + 'static {
    let auth = Arc::clone(auth);
    move || match auth.reload() {
        Ok(()) => {
            let documents = auth.document_key_from();
            tracing::info!(documents, "keys are read again; new tokens are looked at with them");
        }
        Err(error) => tracing::error!(%error, "keys cannot be read again; those of before are kept"),
    }
}

/// Lets this process have as many files open as the system lets it: it begins with about a thousand, and each
/// connection is one. Where that is refused, as many are served.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart finds its port taken by connections of the life before, otherwise.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves an app on a listener until `stop`, then drains it and closes its store.
pub async fn run(app: Arc<App>, listener: TcpListener, stop: CancellationToken) {
    app.rooms.start_sweeper();
    // On the way down new sockets are refused and health is still told, until all is done.
    let drained = CancellationToken::new();
    let draining = async {
        stop.cancelled().await;
        drain(&app).await;
    };
    tokio::select! {
        () = draining => drained.cancel(),
        () = connections::accept(listener, &app, http::router(Arc::clone(&app)), &drained) => {}
        () = keeper::go_on(&app.auth, &*app.log, &app.metrics.auth) => {}
    }
    app.rooms.options.notices.finish(Duration::from_millis(WEBHOOK_GOODBYE_MS)).await;
    if timeout(CLOSE_PATIENCE, app.log.close()).await.is_err() {
        tracing::error!("the store does not let go; what it had acknowledged is stored");
    }
}

/// How long the store may take to finish and let go.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// The app on a log: what [`run`] serves, and what tests put their own logs under.
#[must_use]
pub fn app(log: Arc<dyn Log>, instance: InstanceId, store: &'static str, options: RoomsOptions) -> Arc<App> {
    let front = FrontOptions { development: true, ..FrontOptions::default() };
    app_behind(log, instance, store, options, Arc::new(Auth::open()), front)
}

/// The same for those whom `auth` lets in, reached in a way of its own.
#[must_use]
pub fn app_behind(
    log: Arc<dyn Log>,
    instance: InstanceId,
    store: &'static str,
    options: RoomsOptions,
    auth: Arc<Auth>,
    front: FrontOptions,
) -> Arc<App> {
    Arc::new(assemble(log, instance, store, options, (auth, Arc::new(Metrics::new())), front))
}

fn assemble(
    log: Arc<dyn Log>,
    instance: InstanceId,
    store: &'static str,
    options: RoomsOptions,
    (auth, metrics): (Arc<Auth>, Arc<Metrics>),
    front: FrontOptions,
) -> App {
    let rooms = Rooms::new(Arc::clone(&log), instance, options, Arc::clone(&metrics));
    App {
        throttle: Arc::clone(rooms.throttle()),
        front: Front::new(front),
        rooms,
        log,
        auth,
        metrics,
        store,
        started: Instant::now(),
        api: http::api::Shares::default(),
        public_metrics: true,
        draining: AtomicBool::new(false),
    }
}

/// Opens the store that is set.
async fn open(config: &Config, auth: Arc<Auth>) -> Result<Arc<App>, ServeError> {
    if let Some(directory) = &config.archive {
        Archive::open(directory)
            .map_err(|source| ServeError::Archive { directory: directory.clone(), source })?;
    }
    let webhooks = config.webhooks.options()?;
    let metrics = Arc::new(Metrics::new());
    let instance = InstanceId(rand::random());
    let (log, weakness): (Arc<dyn Log>, _) = match &config.store {
        Store::Memory => (Arc::new(MemoryLog::new()), None),
        Store::File(dir) => {
            let opened = EmbeddedLog::open(dir, instance);
            let failed = |source| ServeError::Store { store: config.store.clone(), source };
            (Arc::new(opened.map_err(failed)?), None)
        }
        Store::Redis(address) => {
            let opened = RedisLog::open(address, redis_options(config)).await;
            let failed = |source| ServeError::Redis { store: config.store.clone(), source };
            let log = opened.map_err(failed)?;
            let weakness = log.weakness();
            (Arc::new(log), weakness)
        }
    };
    let given = log.durability();
    let why = weakness.map(|why| format!(" ({why})")).unwrap_or_default();
    if !config.durability.is_met_by(given) {
        return Err(ServeError::Durability { store: config.store.clone(), given, why });
    }
    if !why.is_empty() {
        tracing::warn!("what is acked may be lost with the machine of Redis{why}");
    }
    let options = RoomsOptions {
        life: LifeOptions { archive: config.archive.clone(), ..LifeOptions::default() },
        boards: Boards::new(config.boards.clone()),
        idle_unload: config.room_idle,
        ttl: config.room_ttl.0,
        retention: config.log_retention,
        store_patience: config.store_patience,
        limits: config.limits.limits(),
        notices: Notices::start(webhooks, &metrics),
    };
    // Nobody who was sent away comes in before that is known.
    let unknown = |source| ServeError::Revocations { store: config.store.clone(), source };
    keeper::load(&auth, &*log).await.map_err(unknown)?;
    let front = config.front.options(auth.is_open());
    let app = assemble(log, instance, config.store.kind(), options, (auth, metrics), front);
    Ok(Arc::new(App { public_metrics: config.has_public_metrics(), ..app }))
}

/// What is set for Redis. Where rooms are exported before they go, only instances remove them.
fn redis_options(config: &Config) -> RedisOptions {
    let options = RedisOptions { accept_eviction: config.accept_eviction, ..RedisOptions::default() };
    let expiry_grace_ms = options.expiry_grace_ms.filter(|_| config.archive.is_none());
    RedisOptions { expiry_grace_ms, ..options }
}

/// Ends all rooms within [`DRAIN_MS_MAX`].
async fn drain(app: &App) {
    app.draining.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let drained = timeout(Duration::from_millis(DRAIN_MS_MAX), async {
        app.rooms.shut_down().await;
        while app.metrics.sockets_open.get() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    match drained.await {
        Ok(()) => tracing::info!(took = ?began.elapsed(), "drained"),
        Err(_) => tracing::error!(
            sockets = app.metrics.sockets_open.get(),
            rooms = app.rooms.open_count(),
            "not everything was finished in time; what was not acked is still with the clients"
        ),
    }
}
