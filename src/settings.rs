//! The settings of each part, made of the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;

use onmic_config::{Auth, Config};
use onmic_control::{Keeping, Keyring, Keys, Outbox, Receiver, RoomsConfig, RtmpIngest, SECRET_BYTES};
use onmic_edge::hls::HlsConfig;
use onmic_http::serve::HttpLimits;
use onmic_ingest::rtmp::stream_key::{Application, StreamKey};
use onmic_ingest::rtmp::{Applications, RtmpConfig, RtmpLimits};
use onmic_listen::{Limits, TrustedProxies, WRITE_TIMEOUT};
use onmic_media::hub::HubLimits;
use onmic_media::life::Lives;
use onmic_media::{Budget, Calendar, Pace, Rates, Shares};
use onmic_mixer::sound::OutputSettings;
use onmic_mixer::{Backend, VideoPolicy, VideoSettings, compose};
use onmic_packager::Settings;
use onmic_rtc::{TcpPort, TcpSettings};
use onmic_signalling::{IceServers, Offers, Turn};
use onmic_stage::StageConfig;
use onmic_store::Store;

use crate::listen::Capacity;
use crate::reload::Reload;

pub fn hub(config: &Config) -> HubLimits {
    HubLimits {
        grace: config.ingest.grace,
        sources: config.ingest.sources,
        bitrate: config.ingest.bitrate,
        directed: true,
    }
}

/// Returns the connections of HTTP that stay open: WebSockets, viewers by HTTP-FLV, and those on which a request of LL-HLS waits.
pub fn kept_open(capacity: Capacity) -> Arc<Shares> {
    Shares::new("connections of HTTP that stay open", capacity.http, usize::MAX)
}

/// How many streams of a session's events one principal may have open.
pub fn event_streams(config: &Config, of_http: &Arc<Shares>) -> Arc<Shares> {
    of_http.part("streams of events", usize::MAX, config.http.connections_per_address)
}

pub fn rooms(config: &Config, of_http: Arc<Shares>) -> RoomsConfig {
    let rooms = &config.rooms;
    RoomsConfig {
        clients: rooms.clients,
        clients_each: config.http.connections_per_address,
        of_http,
        limits: rooms.limits(),
        defaults: rooms.settings(),
    }
}

/// What the process before has kept.
#[derive(Default)]
pub struct State {
    /// What the rooms begin with.
    pub keeping: Option<Keeping>,
    /// The events that were not delivered.
    pub events: Vec<(u64, Vec<u8>)>,
    /// The key that signs tickets where no other can.
    pub tickets: Option<[u8; SECRET_BYTES]>,
}

/// Opens the state of rooms, if it is kept. Secrets of the node that are not in it yet are made.
pub fn state(config: &Config, lives: &Lives) -> anyhow::Result<State> {
    if config.state.path.is_empty() {
        return Ok(State::default());
    }
    let (store, kept) = Store::open(Path::new(&config.state.path), lives.clone())?;
    let secret = |name: &'static str| {
        let known: Option<[u8; SECRET_BYTES]> = kept.secret(name).and_then(|secret| secret.try_into().ok());
        known.unwrap_or_else(|| {
            let secret = onmic_control::new_secret();
            store.put_secret(name, secret.to_vec());
            secret
        })
    };
    let (guests, tickets) = (secret("guests"), secret("tickets"));
    let keeping = Keeping { store: store.clone(), records: kept.records, guests };
    Ok(State { keeping: Some(keeping), events: kept.events, tickets: Some(tickets) })
}

/// Returns the webhooks that are configured. Without a receiver the events of an earlier process stay in the store.
pub fn webhooks(
    config: &Config,
    store: Option<Arc<Store>>,
    left: Vec<(u64, Vec<u8>)>,
) -> anyhow::Result<Option<(Arc<Outbox>, Receiver)>> {
    let Some(url) = config.webhooks.receiver()? else { return Ok(None) };
    let receiver = Receiver::new(url, &config.webhooks.secret).context("webhooks cannot be sent")?;
    let outbox = store.map_or_else(Outbox::default, |store| Outbox::keeping(store, left));
    Ok(Some((Arc::new(outbox), receiver)))
}

/// Returns the keys of tokens, and their files if they come from files.
pub fn keys(config: &Config, own: Option<[u8; SECRET_BYTES]>) -> anyhow::Result<(Arc<Keyring>, Option<Reload>)> {
    let own = own.unwrap_or_else(onmic_control::new_secret);
    let Auth { secret, secret_file, keys_file, .. } = &config.auth;
    let has_secret_file = !secret_file.is_empty();
    let paths: Vec<PathBuf> =
        [secret_file, keys_file].into_iter().filter(|path| !path.is_empty()).map(Into::into).collect();
    let secret = secret.clone();
    let read = move |files: &[Vec<u8>]| -> anyhow::Result<Keys> {
        let (secret_file, rest) = if has_secret_file { files.split_at(1) } else { files.split_at(0) };
        let keys = match secret_file {
            [file] => Keys::of_secret(Config::secret_of_file(file)?),
            _ => Keys::of_secret(secret.as_bytes()),
        };
        match rest.first() {
            Some(set) => keys.with_set(set).context("auth.keys_file cannot be used"),
            None => Ok(keys),
        }
    };
    if paths.is_empty() {
        return Ok((Keyring::with_own(read(&[])?, own), None));
    }
    let (keyring, files) = Reload::begin("the keys of tokens", paths, |files| {
        let keyring = Keyring::with_own(read(files)?, own);
        let current = keyring.clone();
        let replace = move |files: &[Vec<u8>]| {
            current.replace(read(files)?);
            Ok(())
        };
        Ok((keyring, Box::new(replace) as _))
    })?;
    Ok((keyring, Some(files)))
}

pub fn transcoder(config: &Config) -> anyhow::Result<onmic_mixer::Config> {
    let defaults = onmic_mixer::Config::default();
    let encoder = encoder(config, defaults.video.encoder);
    Ok(onmic_mixer::Config {
        linger: config.mixer.linger,
        video: VideoPolicy { encoder, ..defaults.video },
        ladder: config.mixer.ladder()?,
        opus_bitrate_bps: config.mixer.opus_bitrate,
        opus_packet: config.mixer.opus_packet,
        aac_bitrate_bps: config.mixer.aac_bitrate,
        ..defaults
    })
}

pub fn stage(config: &Config, budget: Arc<Budget>) -> anyhow::Result<StageConfig> {
    let mixer = &config.mixer;
    let encoder = encoder(config, VideoSettings::default());
    let backend = Backend::choose(mixer.encoder, &encoder).context("no encoder for mixed programs")?;
    let bitrate_bps = (mixer.bitrate > 0).then_some(mixer.bitrate);
    let defaults = OutputSettings::default();
    Ok(StageConfig {
        canvas: mixer.canvas()?,
        frame_rate_max: mixer.frame_rate,
        pictures: compose::Settings { backend, encoder, bitrate_bps, ..Default::default() },
        sound: OutputSettings { opus_bitrate_bps: mixer.opus_bitrate, aac_bitrate_bps: mixer.aac_bitrate, ..defaults },
        budget,
    })
}

/// Returns `defaults` with what is configured for every encoder of this node.
fn encoder(config: &Config, defaults: VideoSettings) -> VideoSettings {
    VideoSettings { preset: config.mixer.x264_preset.clone(), ..defaults }
}

pub fn rtc(config: &Config, tcp: Option<TcpPort>, calendar: Arc<Calendar>) -> anyhow::Result<onmic_rtc::Config> {
    let address = config.address()?;
    // WebRTC needs the other addresses of this machine too, because Firefox pairs no loopback candidate.
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Ok(onmic_rtc::Config {
        address: if address.is_loopback() { any } else { address },
        only_this_machine: address.is_loopback(),
        port: config.rtc.port,
        shards: config.rtc.shards,
        tcp,
        announce: config.rtc.announced()?,
        sessions: config.rtc.sessions,
        consent: config.rtc.consent_timeout,
        repair_hold: config.rtc.repair_hold,
        calendar,
    })
}

/// Returns the ICE servers of clients, and the file of the secret of TURN if there is one.
pub fn ice_servers(config: &Config, calendar: Arc<Calendar>) -> anyhow::Result<(IceServers, Option<Reload>)> {
    let plain = config.rtc.ice_servers.clone().into();
    let onmic_config::Turn { urls, secret, secret_file, lifetime } = config.turn.clone();
    if urls.is_empty() {
        return Ok((IceServers { plain, turn: None }, None));
    }
    if secret_file.is_empty() {
        let turn = Turn::new(urls, secret.as_bytes(), lifetime, calendar);
        return Ok((IceServers { plain, turn: Some(Arc::new(turn)) }, None));
    }
    let (turn, file) = Reload::begin("the secret of TURN", vec![secret_file.into()], |files| {
        let of_file = |files: &[Vec<u8>]| onmic_config::Turn::secret_of_file(&files.concat()).map(<[u8]>::to_vec);
        let turn = Arc::new(Turn::new(urls, &of_file(files)?, lifetime, calendar));
        let current = turn.clone();
        let replace = move |files: &[Vec<u8>]| {
            current.replace_secret(&of_file(files)?);
            Ok(())
        };
        Ok((turn, Box::new(replace) as _))
    })?;
    Ok((IceServers { plain, turn: Some(turn) }, Some(file)))
}

/// Returns the settings of WebRTC over TCP. Each offer may bring a connection to each of a few announced addresses.
pub fn rtc_tcp(config: &Config, capacity: Capacity) -> TcpSettings {
    TcpSettings {
        limits: limits(capacity.rtc, config.rtc.tcp_connections_per_address),
        pace: Pace::of(config.rtc.offers_per_second.saturating_mul(4), 8),
        proxies: proxies(config),
    }
}

pub fn hls(config: &Config) -> HlsConfig {
    HlsConfig {
        settings: Settings::new(config.hls.part_of_profile(), config.hls.segment, config.hls.window),
        on_demand: config.hls.on_demand,
        converts_long_groups: config.hls.convert_long_groups,
        cache_bytes: config.hls.cache.as_u64(),
        window_bytes: config.hls.windows.as_u64(),
        // A player waits for the playlist and the hinted part of video, and for those of audio.
        waiting: (4 * config.http.connections, 4 * config.http.connections_per_address),
        ..HlsConfig::default()
    }
}

pub fn proxies(config: &Config) -> TrustedProxies {
    let trusted = config.http.trusted_proxies.clone();
    TrustedProxies::new(move |peer| trusted.iter().any(|network| network.contains(peer)))
}

/// Returns the rates of requests. A player that joins fetches a window of segments at once, and so do all players of a program that
/// has just begun.
pub fn requests(config: &Config) -> Rates {
    Rates::new(Pace::of(config.http.requests_per_second, 4))
}

/// Returns the rates of offers.
pub fn offers(config: &Config) -> Offers {
    Offers::new(Pace::of(config.rtc.offers_per_second, 8))
}

/// Returns how fast one address may open connections. All that it may have come at once when a node begins again.
fn connections(each_second: u32) -> Option<Pace> {
    Pace::of(each_second, 10)
}

pub fn http(config: &Config, capacity: Capacity) -> HttpLimits {
    HttpLimits {
        connections: limits(capacity.http, config.http.connections_per_address),
        pace: connections(config.http.connections_per_second),
        lane: capacity.http_lane,
        header_timeout: config.http.header_timeout,
        write_timeout: WRITE_TIMEOUT,
        drain: config.drain,
    }
}

/// Returns how encoders publish by RTMP, for those who ask by HTTP.
pub fn rtmp_ingest(config: &Config, port: u16, applications: &Applications) -> RtmpIngest {
    RtmpIngest {
        port,
        tls_port: config.rtmp.tls_port,
        application: applications.name().to_owned(),
        bitrate: config.ingest.bitrate,
        read_key: |key| StreamKey::parse(&Application::default(), key).map(|key| (key.name, key.token)),
    }
}

/// Returns the limits of a listener that may have `all` connections. One address never gets more than half of them.
fn limits(all: usize, per_address: usize) -> Limits {
    Limits { all, per_address: per_address.min(all.div_ceil(2)) }
}

pub fn rtmp(config: &Config, capacity: Capacity, tls: Option<Arc<ServerConfig>>) -> RtmpConfig {
    let allowed = limits(capacity.rtmp, config.rtmp.connections_per_address);
    let message_bytes = usize::try_from(config.rtmp.message.as_u64()).unwrap_or(usize::MAX);
    let limits = RtmpLimits {
        connections: allowed.all,
        connections_per_address: allowed.per_address,
        pace: connections(config.rtmp.connections_per_second),
        setup_timeout: config.rtmp.start_timeout,
        idle_timeout: config.rtmp.idle_timeout,
        message_bytes,
        partial_bytes: message_bytes.saturating_add(message_bytes / 2),
        ..RtmpLimits::default()
    };
    let applications = Arc::new(config.rtmp.applications().unwrap_or_default()); // Loading has checked them.
    RtmpConfig { limits, applications, tls, proxies: proxies(config) }
}
