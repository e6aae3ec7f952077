//! Answers to encoders. The requests are written by hand in the shape of OBS's model. The one of 31.0 has the values of a log that somebody
//! published (obs-studio, pull request 11509); none was recorded by us.

use serde_json::{Value, json};

use super::*;

/// Returns what OBS 31.1 and later ask, on Windows.
fn obs(vendor: u64, (width, height, rate): (u32, u32, u32), preferences: Value) -> Value {
    let mut asked = json!({
        "service": "IVS", "schema_version": "2025-01-25", "authentication": "demo?token=secret",
        "client": {"name": "obs-studio", "version": "32.0.1", "supported_codecs": ["h265", "h264", "av1"]},
        "capabilities": {
            "cpu": {"logical_cores": 24, "name": "a processor", "physical_cores": 12, "speed": 3800},
            "gaming_features": {"game_bar_enabled": null, "game_dvr_enabled": true, "hags_enabled": false},
            "gpu": [{
                "dedicated_video_memory": 12_578_717_696_u64, "device_id": 10114, "driver_version": "32.0.15.6094",
                "model": "a card", "shared_system_memory": 34_333_468_672_u64, "vendor_id": vendor,
            }],
            "memory": {"free": 54_218_178_560_u64, "total": 68_666_937_344_u64},
            "system": {
                "arm": false, "armEmulation": false, "bits": 64, "build": 19045, "name": "Windows", "release": "22H2",
                "revision": "5198", "version": "10.0",
            },
        },
        "preferences": {
            "audio_channels": 2, "audio_fixed_buffering": false, "audio_max_buffering_ms": 960,
            "audio_samples_per_sec": 48000, "composition_gpu_index": 0, "maximum_aggregate_bitrate": null,
            "maximum_video_tracks": null, "vod_track_audio": false,
            "canvases": [{
                "canvas_height": height, "canvas_width": width, "framerate": {"denominator": 1, "numerator": rate},
                "height": height, "width": width,
            }],
        },
    });
    asked["preferences"].as_object_mut().unwrap().extend(preferences.as_object().unwrap().clone());
    asked
}

const HD: (u32, u32, u32) = (1920, 1080, 60);
const NVIDIA: u64 = 4318;

fn configured(asked: Value) -> Result<Value, String> {
    let asked: Asked = serde_json::from_value(asked).unwrap();
    let endpoint = IngestEndpoint { protocol: "RTMP", url_template: "rtmp://h:1935/live/{stream_key}".into() };
    configure(&asked, vec![endpoint], 100_000_000, "1234".into()).map(|answer| serde_json::to_value(answer).unwrap())
}

/// Returns the lines, pictures per second and bitrate of each quality.
fn levels(answer: &Value) -> Vec<(u64, f64, u64)> {
    let rate = |level: &Value| {
        level["framerate"]["numerator"].as_f64().unwrap() / level["framerate"]["denominator"].as_f64().unwrap()
    };
    let levels = answer["encoder_configurations"].as_array().unwrap().iter();
    levels
        .map(|level| (level["height"].as_u64().unwrap(), rate(level), level["settings"]["bitrate"].as_u64().unwrap()))
        .collect()
}

#[test]
fn three_qualities_follow_from_the_picture_where_obs_leaves_it_open() {
    let answer = configured(obs(NVIDIA, HD, json!({}))).unwrap();
    assert_eq!(levels(&answer), [(1080, 60.0, 6490), (720, 60.0, 3530), (360, 30.0, 880)]);
    let first = &answer["encoder_configurations"][0];
    assert_eq!(
        *first,
        json!({
            "type": "obs_nvenc_h264_tex", "width": 1920, "height": 1080,
            "framerate": {"numerator": 60, "denominator": 1}, "gpu_scale_type": "OBS_SCALE_BICUBIC",
            "colorspace": "VIDEO_CS_709", "range": "VIDEO_RANGE_PARTIAL", "format": "VIDEO_FORMAT_NV12",
            "settings": {
                "rate_control": "CBR", "bitrate": 6490, "keyint_sec": 2, "preset": "p5", "tune": "hq",
                "multipass": "qres", "profile": "high", "bf": 0, "lookahead": false, "adaptive_quantization": true,
            },
            "canvas_index": 0,
        })
    );
    assert_eq!(answer["meta"], json!({"service": "IVS", "schema_version": "2025-01-25", "config_id": "1234"}));
    assert_eq!(answer["status"], json!({"result": "success"}));
    assert_eq!(
        answer["ingest_endpoints"],
        json!([{"protocol": "RTMP", "url_template": "rtmp://h:1935/live/{stream_key}"}])
    );
    let audio = json!([{"codec": "aac", "track_id": 0, "channels": 2, "settings": {"bitrate": 160}}]);
    assert_eq!(answer["audio_configurations"], json!({"live": audio}));
}

#[test]
fn an_older_form_states_its_picture_in_the_preferences() {
    let mut asked = obs(
        NVIDIA,
        HD,
        json!({"width": 1280, "height": 720, "canvas_width": 1920, "canvas_height": 1080,
        "framerate": {"numerator": 30000, "denominator": 1001}}),
    );
    asked["preferences"].as_object_mut().unwrap().remove("canvases");
    asked["client"]["version"] = json!("30.2.3");
    asked["capabilities"]["system"]["revision"] = json!(5198);
    let answer = configured(asked).unwrap();
    let lines: Vec<_> = levels(&answer).into_iter().map(|(lines, ..)| lines).collect();
    assert_eq!(lines, [720, 480, 240]);
    let first = &answer["encoder_configurations"][0];
    assert_eq!((&first["type"], &first["settings"]["preset2"]), (&json!("jim_nvenc"), &json!("p5")));
    assert_eq!(first["framerate"], json!({"numerator": 30000, "denominator": 1001}));
}

#[test]
fn wishes_bound_the_bitrate_and_the_number_of_qualities() {
    let of = |preferences| configured(obs(NVIDIA, HD, preferences)).map(|answer| levels(&answer));
    for (most, lines) in [
        (20_000, vec![1080, 720, 360]),
        (8_000, vec![1080, 720, 360]),
        (6_000, vec![1080, 540]),
        (4_000, vec![720, 480, 240]),
    ] {
        let levels = of(json!({"maximum_aggregate_bitrate": most})).unwrap();
        assert_eq!(levels.iter().map(|level| level.0).collect::<Vec<_>>(), lines, "{most}");
        assert!(levels.iter().map(|level| level.2).sum::<u64>() + 160 <= most, "{levels:?}");
    }
    let six: Vec<_> =
        of(json!({"maximum_video_tracks": 9})).unwrap().into_iter().map(|(lines, rate, _)| (lines, rate)).collect();
    assert_eq!(six, [(1080, 60.0), (720, 60.0), (480, 60.0), (360, 30.0), (240, 30.0), (180, 30.0)]);
    assert_eq!(of(json!({"maximum_video_tracks": 1})).unwrap().len(), 1);
    let none = of(json!({"maximum_aggregate_bitrate": 200})).unwrap_err();
    assert!(none.starts_with("200 kbit/s are too few"), "{none}");
}

#[test]
fn the_machine_decides_about_the_encoder() {
    let encoder = |vendor, change: &dyn Fn(&mut Value)| {
        let mut asked = obs(vendor, HD, json!({}));
        change(&mut asked);
        let answer = configured(asked).unwrap();
        answer["encoder_configurations"][0]["type"].as_str().unwrap().to_owned()
    };
    let nothing = |_: &mut Value| {};
    assert_eq!(encoder(NVIDIA, &nothing), "obs_nvenc_h264_tex");
    assert_eq!(encoder(0x1002, &nothing), "h264_texture_amf");
    assert_eq!(encoder(0x8086, &nothing), "obs_qsv11_v2");
    assert_eq!(encoder(0x1414, &nothing), "obs_x264", "nobody's card");
    let on_linux = |asked: &mut Value| asked["capabilities"]["system"]["name"] = json!("Debian GNU/Linux");
    assert_eq!(encoder(NVIDIA, &on_linux), "obs_nvenc_h264_tex");
    assert_eq!(encoder(0x1002, &on_linux), "obs_x264", "not every version has AMF there");
    let on_mac = |asked: &mut Value| {
        asked["capabilities"]["system"] = json!({"name": "macOS", "arm": true});
        asked["capabilities"]["gpu"] = Value::Null;
    };
    assert_eq!(encoder(0, &on_mac), "com.apple.videotoolbox.videoencoder.ave.avc");
    let states = |encoders: &'static [&'static str]| {
        move |asked: &mut Value| asked["client"]["supported_encoders"] = json!(encoders)
    };
    assert_eq!(encoder(NVIDIA, &states(&["obs_x264", "h264_texture_amf"])), "obs_x264", "the driver is missing");
    assert_eq!(encoder(0x1002, &|asked| (on_linux(asked), states(&["h264_texture_amf"])(asked)).0), "h264_texture_amf");
    let second = |asked: &mut Value| {
        asked["capabilities"]["gpu"] = json!([{"vendor_id": 0x8086}, {"vendor_id": NVIDIA}]);
        asked["preferences"]["composition_gpu_index"] = json!(1);
    };
    assert_eq!(encoder(0, &second), "obs_nvenc_h264_tex", "the card that composes the picture");
}

#[test]
fn a_processor_that_encodes_itself_gets_what_half_of_it_can_do() {
    let lines = |cores: i64| {
        let mut asked = obs(0, HD, json!({}));
        asked["capabilities"]["cpu"] = json!({"physical_cores": cores, "logical_cores": 2 * cores});
        levels(&configured(asked).unwrap()).into_iter().map(|(lines, ..)| lines).collect::<Vec<_>>()
    };
    assert_eq!(lines(12), [1080, 720, 360]);
    assert_eq!(lines(5), [1080, 540]);
    assert_eq!(lines(2), [1080], "one quality, as without this");
}

#[test]
fn audio_has_the_channels_that_obs_has_and_a_track_for_recordings_if_it_was_asked_for() {
    let answer = configured(obs(NVIDIA, HD, json!({"audio_channels": 6, "vod_track_audio": true}))).unwrap();
    let track = |id| json!([{"codec": "aac", "track_id": id, "channels": 6, "settings": {"bitrate": 320}}]);
    assert_eq!(answer["audio_configurations"], json!({"live": track(0), "vod": track(1)}));
}

#[test]
fn what_cannot_be_sent_is_refused_with_a_sentence() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut asked = obs(NVIDIA, HD, json!({}));
        change(&mut asked);
        configured(asked).unwrap_err()
    };
    assert!(refused(&|asked| asked["client"]["supported_codecs"] = json!(["av1"])).contains("H.264"));
    assert!(refused(&|asked| asked["preferences"]["canvases"] = json!([])).contains("does not state its picture"));
    assert!(refused(&|asked| asked["preferences"]["canvases"][0]["width"] = json!(20_000)).contains("20000×1080"));
    assert!(
        refused(&|asked| asked["preferences"]["canvases"][0]["framerate"]["denominator"] = json!(0)).contains("rate")
    );
    let asked = Asked::default();
    assert!(configure(&asked, Vec::new(), 1, String::new()).unwrap_err().contains("no RTMP"));
    let said = serde_json::to_value(refuse(&asked, "<b> & co", "1".into())).unwrap();
    assert_eq!(said["status"], json!({"result": "error", "html_en_us": "&lt;b&gt; &amp; co"}));
}

/// Whatever is asked, the qualities fit the wishes and have the shape of the picture.
#[test]
fn every_ladder_fits_its_room() {
    let mut seed = 1_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..20_000 {
        let (width, height) = (64 + random(8000), 64 + random(5000));
        let (rate, most, tracks) = (1 + random(240), random(30_000), random(8));
        let wishes = json!({"maximum_aggregate_bitrate": most, "maximum_video_tracks": tracks});
        let Ok(answer) = configured(obs(NVIDIA, (width as u32, height as u32, rate as u32), wishes)) else {
            assert!(most < 5_200, "{width}×{height} {rate} {most}"); // A sixth of the largest has 1344×844 at 240 per second.
            continue;
        };
        let levels = answer["encoder_configurations"].as_array().unwrap();
        assert!((1..=6).contains(&levels.len()) && levels.len() as u64 <= tracks.max(1));
        let sides = |level: &Value| (level["width"].as_u64().unwrap(), level["height"].as_u64().unwrap());
        let bitrate = |level: &Value| level["settings"]["bitrate"].as_u64().unwrap();
        assert!(levels.iter().map(bitrate).sum::<u64>() + 160 <= most);
        for pair in levels.windows(2) {
            assert!(sides(&pair[0]).1 > sides(&pair[1]).1 && bitrate(&pair[0]) > bitrate(&pair[1]), "{levels:?}");
        }
        for level in levels {
            let (wide, high) = sides(level);
            assert!(wide % 2 == 0 && high % 2 == 0 && wide.max(high) <= 4096 && bitrate(level) >= 10, "{level}");
            assert!((wide as f64 / high as f64 * height as f64 / width as f64 - 1.0).abs() < 0.08, "{level}");
        }
    }
}
