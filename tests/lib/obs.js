// What OBS Studio asks of a service before it sends several qualities ("Enhanced Broadcasting"), written in the shape of its own model
// (GoLiveApi::PostData of 31.1 and later) and not recorded, and how it turns the answer into what it sends.

/** Asks for the qualities to send. Returns the answer as it came. */
export async function askForQualities(gateway, key, { width, height, rate, tracks = null, kbps = null }) {
  const canvas = { width, height, canvas_width: width, canvas_height: height, framerate: { numerator: rate, denominator: 1 } };
  const asked = {
    service: "IVS",
    schema_version: "2025-01-25",
    authentication: key,
    client: { name: "obs-studio", version: "32.0.1", supported_codecs: ["h264"] },
    capabilities: {
      cpu: { physical_cores: 16, logical_cores: 32, speed: 4000, name: "a processor" },
      memory: { total: 34359738368, free: 17179869184 },
      gaming_features: null,
      system: { version: "6.1", name: "Debian GNU/Linux", build: 0, release: "12", revision: "", bits: 64, arm: false, armEmulation: false },
      gpu: null,
    },
    preferences: {
      maximum_aggregate_bitrate: kbps,
      maximum_video_tracks: tracks,
      vod_track_audio: false,
      composition_gpu_index: 0,
      audio_samples_per_sec: 48000,
      audio_channels: 2,
      audio_max_buffering_ms: 960,
      audio_fixed_buffering: false,
      canvases: [canvas],
    },
  };
  const headers = { "Content-Type": "application/json" };
  return gateway.json("/api/v1/multitrack-video/config", { method: "POST", headers, body: JSON.stringify(asked) });
}

/** Returns the server and the stream key that OBS makes of an answer: `create_service` of its MultitrackVideoOutput. */
export function whereToPublish(answer, key) {
  const server = answer.ingest_endpoints.find(({ protocol }) => protocol === "RTMP").url_template.replace(/\/\{stream_key\}.*$/, "");
  return { server, key: `${key}${key.includes("?") ? "&" : "?"}clientConfigId=${answer.meta.config_id}` };
}
