//! One node: everything that runs in a process. Its parts start in order, and end in the opposite order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use onmic_config::Config;
use onmic_control::{Api, RoomGate, Rooms, Standing, Tickets, TokenGate};
use onmic_edge::flv;
use onmic_edge::hls::Hls;
use onmic_http::door::{self, Door};
use onmic_http::serve::{self, Routes};
use onmic_http::{Keep, Problem, cache, date};
use onmic_ingest::rtmp;
use onmic_media::life::Lives;
use onmic_media::{Budget, Calendar, Hub, NodeClock, Permits, Shares, metric};
use onmic_mixer::Transcoder;
use onmic_rtc::Rtc;
use onmic_signalling::{IceServers, Signalling};
use onmic_stage::Stage;
use onmic_store::Store;

use crate::listen::Listeners;
use crate::telemetry::MetricsPage;
use crate::{health, pages, reload, settings, telemetry};

/// How often sources whose publisher is gone are expired, and permits whose time is over. The periods are some seconds.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);

/// How often the system clock is read, to find out that it was set. Dates follow with the second reading.
const READ_CLOCK_EVERY: Duration = Duration::from_millis(500);

/// A running node. End it with [`Node::stop`].
pub struct Node {
    drain: Duration,
    http: SocketAddr,
    rtmp: Option<SocketAddr>,
    stop: CancellationToken,
    /// Ends HTTP, which ends last, so that `/readyz` can say that the node is stopping.
    stop_http: CancellationToken,
    parts: Parts,
    /// The thread of the stage.
    director: JoinHandle<()>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// The parts that routes use, and those that end by a call.
struct Parts {
    hub: Arc<Hub>,
    gate: Arc<TokenGate>,
    transcoder: Arc<Transcoder>,
    rtc: Rtc,
    hls: Hls,
    stage: Arc<Stage>,
    rooms: Arc<Rooms>,
    /// The connections of HTTP that stay open.
    kept_open: Arc<Shares>,
    store: Option<Arc<Store>>,
}

impl Node {
    /// Starts every part. Must be called within a tokio runtime; `metrics` is rendered at `/metrics`.
    pub fn start(config: &Config, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        pages::check_base_path(&config.http.base_path)?;
        let (stop, stop_http) = (CancellationToken::new(), CancellationToken::new());
        let listeners = Listeners::bind(config)?;
        let (http, rtmp) = listeners.addresses()?;
        onmic_mixer::check().context("FFmpeg lacks something that the server needs")?;
        let clock = NodeClock::new(Instant::now(), SystemTime::now());
        let lives = Lives::default();
        let state = settings::state(config, &lives)?;
        let (keys, files_of_keys) = settings::keys(config, state.tickets)?;
        let standing = Standing::from(Tickets::with_keys(keys.clone()));
        let gate = TokenGate::with_keys(keys, standing.clone()).with_grace(config.auth.grace);
        let gate = Arc::new(gate.for_audiences(&config.auth.audience));
        let pixels = Budget::new(config.mixer.pixels());
        let transcoder = Transcoder::within(settings::transcoder(config)?, pixels.clone());
        let hub = Hub::new(clock, settings::hub(config), Some(transcoder.clone()));
        let rtc = Rtc::start(&settings::rtc(config, listeners.rtc_port(config)?, hub.calendar().clone())?)?;
        let kept_open = settings::kept_open(listeners.capacity);
        let hls = Hls::within(hub.clone(), gate.clone(), settings::hls(config), kept_open.clone(), stop.clone());
        let (stage, reports, director) =
            Stage::start(hub.clone(), Some(transcoder.clone()), settings::stage(config, pixels)?)
                .context("the stage cannot be started")?;
        let store = state.keeping.as_ref().map(|keeping| keeping.store.clone());
        let webhooks = settings::webhooks(config, store.clone(), state.events)?;
        let outbox = webhooks.as_ref().map(|(outbox, _)| outbox.clone());
        let (limits, live) = (settings::rooms(config, kept_open.clone()), stop.clone());
        let rooms = Rooms::keeping(limits, hub.clone(), standing.clone(), stage.clone(), outbox, live, state.keeping)
            .context("the rooms cannot be configured like this")?;
        let parts = Parts { hub, gate, transcoder, rtc, hls, stage, rooms, kept_open, store };

        let Parts { hub, hls, rooms, .. } = &parts;
        let mut tasks = JoinSet::new();
        let (ice_servers, file_of_turn) = settings::ice_servers(config, hub.calendar().clone())?;
        let offered = (rtmp.map_or(0, |rtmp| rtmp.port()), ice_servers);
        let routes = parts.routes(config, offered, metrics.clone(), &stop);
        let (proxies, limits) = (settings::proxies(config), settings::http(config, listeners.capacity));
        let listener = tokio::net::TcpListener::from_std(listeners.http).context("a listener cannot be watched")?;
        let (tls, files) = listeners.tls.map(|tls| (tls.config, tls.files)).unzip();
        endless(&mut tasks, serve::serve(listener, tls.clone(), limits, proxies, routes, stop_http.clone()));
        for (listener, tls) in [(listeners.rtmp, None), (listeners.rtmps, tls)] {
            let Some(listener) = listener else { continue };
            let listener = tokio::net::TcpListener::from_std(listener).context("a listener cannot be watched")?;
            let settings = settings::rtmp(config, listeners.capacity, tls);
            endless(&mut tasks, rtmp::serve(listener, settings, hub.clone(), parts.publishers(), stop.clone()));
        }
        if let Some(listener) = listeners.rtc {
            let listener = tokio::net::TcpListener::from_std(listener).context("a listener cannot be watched")?;
            let settings = settings::rtc_tcp(config, listeners.capacity);
            endless(&mut tasks, onmic_rtc::serve_tcp(listener, settings, parts.rtc.clone(), stop.clone()));
        }
        let streams = hls.clone();
        endless(&mut tasks, async move { streams.run().await });
        endless(&mut tasks, rooms.clone().run(reports));
        if let Some((outbox, receiver)) = webhooks {
            let delivering = outbox.run(receiver, stop.clone());
            tasks.spawn(async move { delivering.await.context("webhooks are not delivered any more") });
        }
        tasks.spawn(reload::follow(files.into_iter().chain(files_of_keys).chain(file_of_turn).collect(), stop.clone()));
        tasks.spawn(watch_threads(parts.rtc.clone(), parts.stage.clone(), lives, stop.clone()));
        endless(&mut tasks, expire(hub.clone(), standing.permits, stop.clone()));
        endless(&mut tasks, follow_system_clock(hub.calendar().clone(), stop.clone()));
        endless(&mut tasks, telemetry::sum_up(metrics, stop.clone()));
        for sentence in config.in_clear()? {
            tracing::warn!("{sentence}");
        }
        let rtmp_address = rtmp.map(tracing::field::display);
        tracing::info!(%http, rtmp = rtmp_address, rtc = config.rtc.port, "ready");
        Ok(Self { drain: config.drain, http, rtmp, stop, stop_http, parts, director, tasks })
    }

    /// Returns the address at which HTTP is served.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Returns the address at which RTMP is served, unless it is turned off.
    pub fn rtmp(&self) -> Option<SocketAddr> {
        self.rtmp
    }

    /// Completes when a part ends by itself, which no part should do.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended.context("a part of the server panicked").flatten(),
            None => std::future::pending().await,
        }
    }

    /// Ends every part. Sessions have the drain time of the configuration to finish.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        tracing::info!("stopping");
        self.stop.cancel();
        self.parts.hub.end_all();
        self.parts.rtc.shutdown(self.drain).await;
        self.stop_http.cancel();
        let drained = tokio::time::timeout(self.drain, async { while self.tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!("some sessions did not end within {:?} and were cut off", self.drain);
            self.tasks.shutdown().await;
        }
        self.parts.stage.stop();
        let (transcoder, store, director) = (self.parts.transcoder.clone(), self.parts.store.clone(), self.director);
        let ended = tokio::task::spawn_blocking(move || {
            store.iter().for_each(|store| store.close());
            transcoder.shutdown();
            director.join()
        });
        ended.await.context("the transcoder panicked")?.map_err(|_| anyhow!("the stage panicked"))
    }
}

impl Parts {
    /// Returns the gate that asks the rooms, too.
    fn publishers(&self) -> Arc<RoomGate> {
        Arc::new(RoomGate::new(self.gate.clone(), self.rooms.clone()))
    }

    fn routes(
        &self,
        config: &Config,
        (rtmp_port, ice_servers): (u16, IceServers),
        metrics: PrometheusHandle,
        stop: &CancellationToken,
    ) -> Routes {
        let Self { hub, gate, rtc, hls, stage, rooms, kept_open, .. } = self;
        let (directed, seated) = (rooms.clone(), rooms.clone());
        let signalling = Signalling {
            hub: hub.clone(),
            returns: stage.clone(),
            gate: self.publishers(),
            offers: Arc::new(settings::offers(config)),
            rtc: rtc.clone(),
            playout: Arc::new(move |room| directed.playout(room)),
            has_place: Arc::new(move |name| seated.has_place(name)),
            ice_servers,
            event_streams: settings::event_streams(config, kept_open),
        };
        let metrics = MetricsPage::new(metrics, hub.clone(), rtc.clone());
        let applications = config.rtmp.applications().unwrap_or_default(); // Loading has checked them.
        let rtmp = settings::rtmp_ingest(config, rtmp_port, &applications);
        let kept_by = |keep: Keep| from_fn_with_state(keep, cache::state);
        let keep = Keep::of(gate.is_closed());
        let of_asker = Router::new()
            .merge(signalling.router())
            .merge(flv::router(hub.clone(), gate.clone(), config.http.connections_per_address, kept_open))
            .merge(Api::new(hub.clone(), gate.clone(), rooms.clone(), rtmp).router())
            .layer(kept_by(keep));
        let media = Router::new()
            .merge(hls.router().layer(kept_by(if config.hls.shared_cache { Keep::Everybody } else { keep })))
            .merge(of_asker)
            .method_not_allowed_fallback(Problem::method_not_allowed)
            .layer(onmic_http::cors::layer())
            .layer(from_fn(onmic_signalling::name_offers));
        let http = &config.http;
        let policy = from_fn_with_state(pages::Policy::new(&http.frame_ancestors), pages::policy::state);
        let routes = Router::new()
            .merge(media)
            .merge(health::router(rtc.clone(), stop.clone()))
            .route("/metrics", get(move || metrics.clone().answer()))
            .merge(pages::router().layer(policy.clone()))
            .method_not_allowed_fallback(Problem::method_not_allowed)
            .fallback(get(pages::asset).layer(policy).fallback(Problem::method_not_allowed))
            .layer(kept_by(Keep::Everybody));
        let (proxies, origins) = (http.trusted_proxies.clone(), http.origins.clone());
        let door = Door::new(proxies, !gate.is_closed(), http.base_path.clone(), origins);
        let door = door.with_rates(settings::requests(config));
        // The door stands before a router without routes, because it changes paths before they are routed.
        let dated = from_fn_with_state(hub.calendar().clone(), date::state);
        let behind_the_door = |routes: Router| {
            let door = from_fn_with_state(door.clone(), door::enter);
            Router::new().fallback_service(routes).layer(door).layer(dated.clone())
        };
        Routes {
            all: behind_the_door(routes),
            when_full: behind_the_door(health::router_when_full(rtc.clone(), stop.clone())),
        }
    }
}

/// Spawns a part that ends only because the node stops.
fn endless(tasks: &mut JoinSet<anyhow::Result<()>>, part: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        part.await;
        Ok(())
    });
}

/// Ends the node when a thread that it cannot do without has died and is not replaced.
async fn watch_threads(rtc: Rtc, stage: Arc<Stage>, lives: Lives, stop: CancellationToken) -> anyhow::Result<()> {
    let failed = async {
        tokio::select! {
            thread = rtc.failed() => thread,
            thread = lives.failed() => thread,
            thread = stage.failed() => thread,
        }
    };
    match stop.run_until_cancelled(failed).await {
        Some(thread) => Err(anyhow!("the thread {thread} died twice within a minute")),
        None => Ok(()),
    }
}

async fn expire(hub: Arc<Hub>, permits: Arc<Permits>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = Instant::now();
        hub.expire(now);
        permits.expire(now);
    }
}

/// Lets dates follow the system clock, which is set late on a machine without a battery, and after a sleep.
async fn follow_system_clock(calendar: Arc<Calendar>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(READ_CLOCK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay); // Two readings at once would tell no more than one.
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(step) = calendar.read(Instant::now(), SystemTime::now()) else { continue };
        metrics::counter!(metric::CLOCK_STEPS, "direction" => step.direction()).increment(1);
        tracing::warn!(
            step = ?step.size(),
            direction = step.direction(),
            "the system clock was set; dates follow it, and media goes on without a step"
        );
    }
}
