// Sends a stream from the browser to itself without a gateway, and plays a file. These are the baselines of all
// figures.

import { Meter } from "./meter.js";
import { drawScene } from "./scene.js";
import { statistics } from "./session.js";

export async function startLoopback({ codec = "video/H264", fps = 30, width, height } = {}) {
  const scene = await drawScene({ fps, width, height });
  const sender = new RTCPeerConnection();
  const receiver = new RTCPeerConnection();
  sender.onicecandidate = ({ candidate }) => receiver.addIceCandidate(candidate);
  receiver.onicecandidate = ({ candidate }) => sender.addIceCandidate(candidate);
  const stream = new MediaStream();
  receiver.ontrack = ({ track }) => stream.addTrack(track);
  for (const track of scene.stream.getTracks()) {
    const transceiver = sender.addTransceiver(track, { direction: "sendonly", streams: [scene.stream] });
    if (track.kind === "video") {
      const { codecs } = RTCRtpSender.getCapabilities("video");
      transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType.toLowerCase() === codec.toLowerCase()));
    }
  }
  await sender.setLocalDescription();
  await receiver.setRemoteDescription(sender.localDescription);
  await receiver.setLocalDescription();
  await sender.setRemoteDescription(receiver.localDescription);

  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, muted: true, srcObject: stream });
  document.body.append(video);
  const meter = new Meter(video, { fps });
  await meter.listen(new MediaStream(stream.getAudioTracks()));
  await video.play();
  return {
    meter,
    async report() {
      return { ...meter.report(), state: receiver.connectionState, statistics: await statistics(receiver) };
    },
    stop() {
      meter.stop();
      sender.close();
      receiver.close();
      scene.stop();
      video.remove();
    },
  };
}

/** Plays a file with the same test picture, for the lip sync of an element that does not play WebRTC. */
export async function playFile({ url, fps = 30 }) {
  const video = document.createElement("video");
  Object.assign(video, { loop: true, crossOrigin: "anonymous", src: url });
  document.body.append(video);
  const meter = new Meter(video, { fps });
  await meter.listen(null);
  await video.play();
  return {
    meter,
    report: () => meter.report(),
    stop() {
      meter.stop();
      video.remove();
    },
  };
}
