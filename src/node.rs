//! One node: everything that runs in a process, started in order and ended in order.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use onmic_control::{Api, Outbox, Receiver, Rooms, RoomsConfig, Tickets, TokenGate};
use onmic_edge::flv;
use onmic_edge::hls::{Hls, HlsConfig};
use onmic_http::Problem;
use onmic_ingest::rtmp::{self, RtmpConfig, RtmpLimits};
use onmic_media::hub::HubLimits;
use onmic_media::{Gate, Hub, NodeClock};
use onmic_mixer::sound::OutputSettings;
use onmic_mixer::{Backend, Transcoder, compose};
use onmic_packager::Settings;
use onmic_rtc::Rtc;
use onmic_signalling::Signalling;
use onmic_stage::{Listener, Stage, StageConfig};

use crate::config::Config;
use crate::{health, listen, pages, telemetry};

/// How often sources whose publisher is gone are looked for; the grace period is counted in seconds.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);

/// Runs until `stop` is cancelled, then drains.
pub async fn run(config: Config, metrics: PrometheusHandle, stop: CancellationToken) -> anyhow::Result<()> {
    let address = config.address()?;
    let tls = listen::tls(&config.http)?;
    let tickets = Tickets::new(&config.auth.secret);
    let gate = Arc::new(TokenGate::new(&config.auth.secret, tickets.clone()));
    onmic_mixer::check().context("FFmpeg lacks what is needed")?;
    let transcoder = Transcoder::new(transcoder_config(&config));
    let limits = HubLimits { grace: config.ingest.grace, sources: config.ingest.sources, directed: true };
    let clock = NodeClock::new(Instant::now(), SystemTime::now());
    let hub = Hub::new(clock, limits, Some(transcoder.clone()));
    let rtc = Rtc::start(&rtc_config(&config, address, clock))?;
    let hls = Hls::new(hub.clone(), gate.clone(), hls_config(&config), stop.clone());

    let webhooks = webhooks(&config)?;
    let outbox = webhooks.as_ref().map(|(outbox, _)| outbox.clone());
    let audience: Arc<OnceLock<Weak<Rooms>>> = Arc::default();
    let listener = tell_rooms(audience.clone());
    let (stage, directing) = Stage::start(hub.clone(), Some(transcoder.clone()), stage_config(&config)?, listener)
        .context("the stage cannot be started")?;
    let rooms = Rooms::new(rooms_config(&config), hub.clone(), tickets, stage.clone(), outbox, stop.clone())
        .context("the rooms cannot be as they are configured")?;
    audience.get_or_init(|| Arc::downgrade(&rooms));

    let served = Served { hub: &hub, gate: &gate, rooms: &rooms, stage: &stage, rtc: &rtc, hls: &hls };
    let router = router(&config, served, metrics.clone());
    let http = listen::bind(SocketAddr::new(address, config.http.port))?;
    let rtmp = listen::bind(SocketAddr::new(address, config.rtmp.port))?;
    let rtmps = match config.rtmp.tls_port {
        0 => None,
        port => Some(listen::bind(SocketAddr::new(address, port))?),
    };

    let mut tasks = JoinSet::new();
    tasks.spawn(listen::serve(http, tls.clone(), router, config.drain, stop.clone()));
    tasks.spawn(expire(hub.clone(), stop.clone()));
    let summing = telemetry::sum_up(metrics, stop.clone());
    tasks.spawn(async move {
        summing.await;
        Ok(())
    });
    tasks.spawn(async move {
        hls.run().await;
        Ok(())
    });
    tasks.spawn(async move {
        rooms.run().await;
        Ok(())
    });
    if let Some((outbox, receiver)) = webhooks {
        let stop = stop.clone();
        tasks.spawn(async move {
            outbox.run(receiver, stop).await;
            Ok(())
        });
    }
    for (listener, tls) in [(Some(rtmp), None), (rtmps, tls)] {
        let Some(listener) = listener else { continue };
        let listener = into_tokio(listener)?;
        let config = RtmpConfig { limits: rtmp_limits(&config), tls };
        let serving = rtmp::serve(listener, config, hub.clone(), gate.clone(), stop.clone());
        tasks.spawn(async move {
            serving.await;
            Ok(())
        });
    }
    tracing::info!(%address, http = config.http.port, rtmp = config.rtmp.port, rtc = config.rtc.port, "ready");

    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => ended.context("a part of the server panicked").flatten(),
    };
    tracing::info!("stopping");
    stop.cancel();
    hub.end_all();
    rtc.shutdown(config.drain).await;
    let drained = tokio::time::timeout(config.drain, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("sessions were cut off: they did not end within {:?}", config.drain);
        tasks.shutdown().await;
    }
    stage.stop();
    let ended = tokio::task::spawn_blocking(move || {
        transcoder.shutdown();
        directing.join()
    });
    ended.await.context("the transcoder panicked")?.map_err(|_| anyhow!("the stage panicked"))?;
    outcome
}

/// What HTTP gives access to.
struct Served<'a> {
    hub: &'a Arc<Hub>,
    gate: &'a Arc<TokenGate>,
    rooms: &'a Arc<Rooms>,
    stage: &'a Arc<Stage>,
    rtc: &'a Rtc,
    hls: &'a Hls,
}

fn router(config: &Config, served: Served<'_>, metrics: PrometheusHandle) -> Router {
    let Served { hub, gate, rooms, stage, rtc, hls } = served;
    let ice_servers: Arc<[String]> = config.rtc.ice_servers.clone().into();
    let shared: Arc<dyn Gate> = gate.clone();
    let signalling =
        Signalling { hub: hub.clone(), returns: stage.clone(), gate: shared.clone(), rtc: rtc.clone(), ice_servers };
    let observed = hub.clone();
    let media = Router::new()
        .merge(signalling.router())
        .merge(hls.router())
        .merge(flv::router(hub.clone(), shared))
        .merge(Api::new(hub.clone(), gate.clone(), rooms.clone(), config.rtmp.port).router())
        .method_not_allowed_fallback(Problem::method_not_allowed)
        .layer(onmic_http::cors::layer());
    Router::new()
        .merge(media)
        .merge(health::router())
        .route("/metrics", get(move || async move { telemetry::render(&metrics, &observed) }))
        .route("/", get(pages::index))
        .route("/watch/{room}", get(pages::watch))
        .route("/studio/{room}", get(pages::studio))
        .method_not_allowed_fallback(Problem::method_not_allowed)
        .fallback(get(pages::asset).fallback(Problem::method_not_allowed))
}

/// The stage is there before the rooms, and tells them from its own thread.
fn tell_rooms(audience: Arc<OnceLock<Weak<Rooms>>>) -> Listener {
    Box::new(move |report| {
        if let Some(rooms) = audience.get().and_then(Weak::upgrade) {
            rooms.hear(report);
        }
    })
}

async fn expire(hub: Arc<Hub>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        hub.expire(Instant::now());
    }
    Ok(())
}

fn into_tokio(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener).context("a listener cannot be watched")
}

fn rooms_config(config: &Config) -> RoomsConfig {
    let rooms = &config.rooms;
    RoomsConfig { clients: rooms.clients, limits: rooms.limits(), defaults: rooms.settings() }
}

fn webhooks(config: &Config) -> anyhow::Result<Option<(Arc<Outbox>, Receiver)>> {
    let Some(url) = config.webhooks.receiver()? else { return Ok(None) };
    let receiver = Receiver::new(url, &config.webhooks.secret).context("webhooks cannot be sent")?;
    Ok(Some((Arc::new(Outbox::default()), receiver)))
}

fn transcoder_config(config: &Config) -> onmic_mixer::Config {
    let defaults = onmic_mixer::Config::default();
    let encoder = onmic_mixer::VideoSettings { preset: config.mixer.x264_preset.clone(), ..defaults.video.encoder };
    onmic_mixer::Config {
        linger: config.mixer.linger,
        video: onmic_mixer::VideoPolicy { encoder, ..defaults.video },
        opus_bitrate_bps: config.mixer.opus_bitrate,
        aac_bitrate_bps: config.mixer.aac_bitrate,
        ..defaults
    }
}

fn stage_config(config: &Config) -> anyhow::Result<StageConfig> {
    let mixer = &config.mixer;
    let encoder = onmic_mixer::VideoSettings { preset: mixer.x264_preset.clone(), ..Default::default() };
    let backend = Backend::choose(mixer.encoder, &encoder).context("no encoder for mixed programs")?;
    let bitrate_bps = (mixer.bitrate > 0).then_some(mixer.bitrate);
    let defaults = OutputSettings::default();
    Ok(StageConfig {
        canvas: mixer.canvas()?,
        frame_rate_max: mixer.frame_rate,
        pictures: compose::Settings { backend, encoder, bitrate_bps, ..Default::default() },
        sound: OutputSettings { opus_bitrate_bps: mixer.opus_bitrate, aac_bitrate_bps: mixer.aac_bitrate, ..defaults },
    })
}

fn rtc_config(config: &Config, address: IpAddr, clock: NodeClock) -> onmic_rtc::Config {
    onmic_rtc::Config {
        address,
        port: config.rtc.port,
        shards: config.rtc.shards,
        announce: config.rtc.announce.clone(),
        sessions: config.rtc.sessions,
        consent: config.rtc.consent_timeout,
        clock,
    }
}

fn hls_config(config: &Config) -> HlsConfig {
    let defaults = HlsConfig::default();
    HlsConfig {
        settings: Settings::new(config.hls.part, config.hls.segment, config.hls.window),
        on_demand: config.hls.on_demand,
        cache_bytes: config.hls.cache.as_u64(),
        ..defaults
    }
}

fn rtmp_limits(config: &Config) -> RtmpLimits {
    let message_bytes = usize::try_from(config.rtmp.message.as_u64()).unwrap_or(usize::MAX);
    RtmpLimits {
        connections: config.rtmp.connections,
        setup_timeout: config.rtmp.start_timeout,
        idle_timeout: config.rtmp.idle_timeout,
        message_bytes,
        partial_bytes: message_bytes.saturating_add(message_bytes / 2),
        ..RtmpLimits::default()
    }
}
