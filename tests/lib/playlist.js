// Reads HLS playlists strictly: an unknown tag or a line out of place is an error.

/** Parses an attribute list: `KEY=VALUE,KEY="VALUE"`. */
export function attributes(text) {
  const found = {};
  for (const [, key, value] of text.matchAll(/([A-Z0-9-]+)=("[^"]*"|[^,]*)/g)) {
    found[key] = value.startsWith('"') ? value.slice(1, -1) : value;
  }
  return found;
}

export function parseMaster(text) {
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.shift() !== "#EXTM3U") throw new Error("the playlist does not begin with #EXTM3U");
  const master = { media: [], variants: [], version: null, independent: false };
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index];
    if (line.startsWith("#EXT-X-MEDIA:")) master.media.push(attributes(line));
    else if (line.startsWith("#EXT-X-STREAM-INF:")) {
      index += 1;
      master.variants.push({ ...attributes(line), uri: lines[index] });
    } else if (line.startsWith("#EXT-X-VERSION:")) master.version = Number(line.split(":")[1]);
    else if (line === "#EXT-X-INDEPENDENT-SEGMENTS") master.independent = true;
    else if (!line.startsWith("#")) throw new Error(`a URI in the wrong place: ${line}`);
  }
  return master;
}

export function parseMedia(text) {
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.shift() !== "#EXTM3U") throw new Error("the playlist does not begin with #EXTM3U");
  const playlist = {
    segments: [],
    partsOfNext: [],
    renditionReports: [],
    preloadHint: null,
    skipped: 0,
    map: null,
    serverControl: {},
    dates: 0,
    discontinuities: 0,
  };
  let parts = [];
  let duration = null;
  let date = null;
  let discontinuity = false;
  for (const line of lines) {
    const colon = line.indexOf(":");
    const tag = line.startsWith("#") ? (colon < 0 ? line : line.slice(0, colon)) : "";
    const value = colon < 0 ? "" : line.slice(colon + 1);
    switch (tag) {
      case "":
        if (duration === null) throw new Error(`a URI without EXTINF: ${line}`);
        playlist.segments.push({ uri: line, duration, parts, date, discontinuity });
        parts = [];
        duration = null;
        date = null;
        discontinuity = false;
        break;
      case "#EXTINF":
        duration = Number.parseFloat(value);
        break;
      case "#EXT-X-TARGETDURATION":
        playlist.targetDuration = Number(value);
        break;
      case "#EXT-X-VERSION":
        playlist.version = Number(value);
        break;
      case "#EXT-X-MEDIA-SEQUENCE":
        playlist.mediaSequence = Number(value);
        break;
      case "#EXT-X-DISCONTINUITY-SEQUENCE":
        playlist.discontinuitySequence = Number(value);
        break;
      case "#EXT-X-PART-INF":
        playlist.partTarget = Number(attributes(value)["PART-TARGET"]);
        break;
      case "#EXT-X-SERVER-CONTROL":
        playlist.serverControl = attributes(value);
        break;
      case "#EXT-X-MAP":
        playlist.map = attributes(value);
        break;
      case "#EXT-X-PART": {
        const part = attributes(value);
        parts.push({ uri: part.URI, duration: Number(part.DURATION), independent: part.INDEPENDENT === "YES", ...part });
        break;
      }
      case "#EXT-X-PROGRAM-DATE-TIME":
        date = value;
        playlist.dates += 1;
        break;
      case "#EXT-X-DISCONTINUITY":
        discontinuity = true;
        playlist.discontinuities += 1;
        break;
      case "#EXT-X-PRELOAD-HINT":
        playlist.preloadHint = attributes(value);
        break;
      case "#EXT-X-RENDITION-REPORT":
        playlist.renditionReports.push(attributes(value));
        break;
      case "#EXT-X-SKIP":
        playlist.skipped = Number(attributes(value)["SKIPPED-SEGMENTS"]);
        break;
      case "#EXT-X-INDEPENDENT-SEGMENTS":
      case "#EXT-X-ENDLIST":
      case "#EXT-X-GAP":
        playlist[tag] = true;
        break;
      default:
        throw new Error(`unknown tag: ${line}`);
    }
  }
  playlist.partsOfNext = parts;
  playlist.nextDate = date;
  /** The media sequence number of the segment that is being made. */
  playlist.nextSequence = playlist.mediaSequence + playlist.skipped + playlist.segments.length;
  return playlist;
}
