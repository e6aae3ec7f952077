// Holds what WHIP and WHEP have in common: one POST, one answer, and the time that each step took.

/** Matches the beginning of a candidate. Its address and port come after the first group. */
export const CANDIDATE = /^(a=candidate:\S+ \d+ udp \d+) \S+ \d+ /gim;

/** Matches a candidate of TCP, with the end of its line. */
export const TCP_CANDIDATE = /^a=candidate:\S+ \d+ tcp [^\r\n]*\r?\n/gim;

/**
 * Points every candidate of UDP of an SDP answer to the relay's port on loopback. Takes out those of TCP, which would lead around the
 * relay, unless `tcp` is true.
 */
export function redirectCandidates(sdp, relayPort, tcp = false) {
  const redirected = sdp.replace(CANDIDATE, (_, head) => `${head} 127.0.0.1 ${relayPort} `);
  return tcp ? redirected : redirected.replace(TCP_CANDIDATE, "");
}

/** Returns the ICE servers of an endpoint, which a HEAD states to those who may use it. */
export async function iceServers(url, { token } = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const link = (await fetch(url, { method: "HEAD", headers })).headers.get("Link") ?? "";
  const links = link.matchAll(/<([^>]*)>; rel="ice-server"(?:; username="([^"]*)"; credential="([^"]*)")?/g);
  return Array.from(links, ([, urls, username, credential]) => ({ urls, username, credential }));
}

/** Returns the address of an extension of WHEP that a session has. */
export function extension({ link, resource }, name) {
  const found = (link ?? "").match(new RegExp(`<([^>]*)>; rel="urn:ietf:params:whep:ext:core:${name}"`));
  if (!found) throw new Error(`no link to ${name} in ${link}`);
  return new URL(found[1], resource).href;
}

export async function exchange(pc, url, { token, relayPort, tcp, waitForCandidates = false, editOffer } = {}) {
  const times = { start: performance.now(), startedAt: Date.now() };
  pc.addEventListener("connectionstatechange", () => {
    times[pc.connectionState] ??= performance.now() - times.start;
    times.changes = (times.changes ?? 0) + 1;
  });
  await (editOffer === "rrtr" ? setAsking(pc) : pc.setLocalDescription());
  if (waitForCandidates && pc.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && resolve());
    });
  }
  let offer = pc.localDescription.sdp;
  if (editOffer === "no-h264") offer = withoutH264(offer);
  if (editOffer?.includes("no-nack")) offer = offer.replace(/^a=rtcp-fb:\d+ nack\r\n/gim, "");
  if (editOffer?.includes("no-redundancy")) offer = offer.replace(/^a=rtpmap:\d+ (red|ulpfec|flexfec-03)\/.*\r\n/gim, "");
  const headers = { "Content-Type": "application/sdp" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(url, { method: "POST", headers, body: offer });
  times.answered = performance.now() - times.start;
  const body = await response.text();
  if (response.status !== 201) throw new Error(`${url} answered ${response.status}: ${body}`);
  const location = response.headers.get("Location");
  if (!location) throw new Error(`${url} answered 201 without a Location (or without exposing it by CORS)`);
  const answer = relayPort ? redirectCandidates(body, relayPort, tcp) : body;
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  return {
    times,
    offer,
    answer: body,
    resource: new URL(location, url).href,
    etag: response.headers.get("ETag"),
    link: response.headers.get("Link"),
  };
}

/** Makes an offer that asks for the round trip, and for lost audio, as the SDK does. */
async function setAsking(pc) {
  const { sdp } = await pc.createOffer();
  const asking = sdp
    .replace(/^a=rtcp-fb:(\d+) nack\r\n/gm, (line, type) => `${line}a=rtcp-fb:${type} rrtr\r\n`)
    .replace(/^a=rtpmap:(\d+) opus\/.*\r\n/gm, (line, type) => `${line}a=rtcp-fb:${type} nack\r\na=rtcp-fb:${type} rrtr\r\n`);
  await pc.setLocalDescription({ type: "offer", sdp: asking });
}

/** Restarts ICE: sends new credentials by PATCH to the same session (RFC 9725 section 4.3.3). The candidates stay as they were. */
export async function restartIce(pc, { resource }, headers) {
  pc.restartIce();
  await pc.setLocalDescription();
  const sdp = pc.localDescription.sdp;
  const line = (name) => sdp.match(new RegExp(`^a=${name}:.*$`, "m"))[0].trim();
  const fragment = [line("ice-ufrag"), line("ice-pwd"), ""].join("\r\n");
  const response = await fetch(resource, {
    method: "PATCH",
    headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*", ...headers },
    body: fragment,
  });
  const body = await response.text();
  if (response.status !== 200) return { status: response.status, body };
  const ufrag = body.match(/^a=ice-ufrag:(.*)$/m)[1].trim();
  const password = body.match(/^a=ice-pwd:(.*)$/m)[1].trim();
  const answer = pc.currentRemoteDescription.sdp
    .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${ufrag}`)
    .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${password}`);
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  return { status: response.status, body, etag: response.headers.get("ETag") };
}

/**
 * Returns the state of the connection, or "closed" once the other end has said goodbye (DTLS close_notify), which
 * `connectionState` does not show.
 */
export function stateOf(pc) {
  const ended = pc.getReceivers().some(({ transport }) => transport?.state === "closed");
  return ended ? "closed" : pc.connectionState;
}

/**
 * Sends DELETE (RFC 9725 section 4.2) and then closes the connection. The other order would end the session before the
 * DELETE.
 */
export async function end(pc, { resource }, headers) {
  const response = await fetch(resource, { method: "DELETE", headers });
  pc.close();
  return response.status;
}

function withoutH264(sdp) {
  const types = [...sdp.matchAll(/^a=rtpmap:(\d+) H264\//gim)].map((match) => match[1]);
  const rtx = types.flatMap((type) => [...sdp.matchAll(new RegExp(`^a=fmtp:(\\d+) apt=${type}\\r$`, "gim"))].map((m) => m[1]));
  const gone = new Set([...types, ...rtx]);
  return sdp
    .split("\r\n")
    .filter((line) => !gone.has(line.match(/^a=(?:rtpmap|fmtp|rtcp-fb):(\d+)/)?.[1]))
    .map((line) =>
      line.startsWith("m=video")
        ? line.split(" ").filter((word, index) => index < 3 || !gone.has(word)).join(" ")
        : line,
    )
    .join("\r\n");
}

/** Returns the few numbers of getStats that tests use. */
export async function statistics(pc) {
  const summary = {};
  const all = await pc.getStats();
  for (const report of all.values()) {
    if (report.type === "inbound-rtp" || report.type === "outbound-rtp" || report.type === "remote-inbound-rtp") {
      const { packetsReceived, packetsLost, nackCount, pliCount, firCount, framesDecoded, framesDropped } = report;
      const { keyFramesDecoded, framesEncoded, keyFramesEncoded, packetsSent, bytesReceived, bytesSent } = report;
      const { jitterBufferDelay, jitterBufferEmittedCount, freezeCount, retransmittedPacketsReceived } = report;
      const { concealedSamples, totalSamplesReceived, targetBitrate, roundTripTime, fractionLost } = report;
      const { estimatedPlayoutTimestamp, frameWidth, scalabilityMode } = report;
      const { retransmittedPacketsSent, qualityLimitationReason, framesPerSecond } = report;
      const { fecPacketsReceived, fecPacketsDiscarded, fecBytesReceived } = report;
      summary[`${report.type}-${report.kind}`] = JSON.parse(
        JSON.stringify({
          ...{ packetsReceived, packetsLost, nackCount, pliCount, firCount, framesDecoded, framesDropped },
          ...{ keyFramesDecoded, framesEncoded, keyFramesEncoded, packetsSent, bytesReceived, bytesSent },
          ...{ jitterBufferDelay, jitterBufferEmittedCount, freezeCount, retransmittedPacketsReceived },
          ...{ concealedSamples, totalSamplesReceived, targetBitrate, roundTripTime, fractionLost },
          ...{ estimatedPlayoutTimestamp, frameWidth, scalabilityMode },
          ...{ retransmittedPacketsSent, qualityLimitationReason, framesPerSecond },
          ...{ fecPacketsReceived, fecPacketsDiscarded, fecBytesReceived },
        }),
      );
    }
    if (report.type === "candidate-pair" && report.nominated) {
      const { availableOutgoingBitrate, currentRoundTripTime } = report;
      summary.path = { availableOutgoingBitrate, currentRoundTripTime };
    }
    if (report.type === "codec") {
      summary.codecs = [...(summary.codecs ?? []), `${report.mimeType} ${report.sdpFmtpLine ?? ""}`.trim()];
    }
    if (report.type === "transport") {
      const { dtlsCipher, srtpCipher, tlsVersion } = report;
      summary.transport = { dtlsCipher, srtpCipher, tlsVersion };
      const local = all.get(all.get(report.selectedCandidatePairId)?.localCandidateId);
      if (local) summary.way = { protocol: local.protocol, type: local.candidateType, relay: local.relayProtocol };
    }
  }
  return summary;
}
