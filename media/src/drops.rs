//! The reasons for drops. Each reason's name in `onmic_drops_total{reason=…}` and its sentence are declared here and
//! nowhere else. Every drop is counted under one of them.
//!
//! A name begins with the area that drops. The reason of a reader that falls behind its ring is `behind_…` everywhere.

use metrics::Counter;

use crate::metric;

metric::label_values! {
    /// States why something was dropped.
    #[derive(PartialOrd, Ord, Hash)]
    DropReason:
    /// An HTTP-FLV viewer read more slowly than frames came; frames up to the newest keyframe are skipped.
    BehindFlv => "behind_flv",
    /// The packager of an LL-HLS stream read more slowly than frames came; frames up to the newest keyframe are
    /// skipped.
    BehindHls => "behind_hls",
    /// The mixer could not decode an input as fast as its frames came; frames up to a newer keyframe are skipped.
    BehindMix => "behind_mix",
    /// A client of a room's events read too slowly; its connection is closed.
    BehindRoomClient => "behind_room_client",
    /// An event of a room was forgotten before its time, because the last events of the room, or of all rooms, are too many bytes.
    /// A client that has not taken it yet gets a snapshot.
    RoomLogBytes => "room_log_bytes",
    /// An RTMP player read more slowly than frames came; frames up to the newest keyframe are skipped.
    BehindRtmp => "behind_rtmp",
    /// A derived track could not be made as fast as frames came; frames are skipped.
    BehindTranscode => "behind_transcode",
    /// A WebRTC shard read a track more slowly than frames came; frames up to the newest keyframe are skipped.
    BehindWebrtc => "behind_webrtc",
    /// A WebRTC viewer passed over frames: a newer keyframe came while it caught up, or it waits for one.
    BehindWhep => "behind_whep",

    /// A message of timed metadata is larger than allowed.
    MessageTooLarge => "message_too_large",
    /// Timed metadata was left out where it is not carried yet: in a WebRTC session, and in both directions of RTMP.
    DataNotCarried => "data_not_carried",
    /// A publisher's SEI, or other units that are not a picture, came without one: they were more than are kept for the
    /// next, or none came.
    UnitsWithoutPicture => "units_without_picture",
    /// A NAL unit of a publisher has a type that is reserved or left open; the rest of its picture goes on.
    UnitsReserved => "units_reserved",
    /// A publisher's frame was whole when its publication had ended: another has the name, or it sent too much.
    FrameAfterEnd => "frame_after_end",
    /// A publication already has the most tracks that it may have; a frame of a further track is refused.
    TooManyTracks => "too_many_tracks",

    /// A frame of a publisher's tag came before the keyframe that it needs.
    TagBeforeKeyframe => "tag_before_keyframe",
    /// A frame of a publisher's tag came before the parameters that describe it, in a sequence header or in band.
    TagBeforeSequenceHeader => "tag_before_sequence_header",
    /// A tag holds the order of the audio channels, which the codec's configuration repeats.
    TagChannelOrder => "tag_channel_order",
    /// A tag holds a seek command, or something else that is not a frame.
    TagCommand => "tag_command",
    /// A tag has no payload.
    TagEmpty => "tag_empty",
    /// A tag cannot be parsed.
    TagMalformed => "tag_malformed",
    /// A tag holds colour information for HDR, which the bitstream repeats.
    TagMetadata => "tag_metadata",
    /// A tag holds further slices of a picture that has gone on without them; pictures after it are joined.
    TagOfPassedPicture => "tag_of_passed_picture",
    /// A tag belongs to a track that is left out: of audio beside the main one, or of video beyond six renditions.
    TagOtherTrack => "tag_other_track",
    /// A tag has a packet type that the specification leaves open.
    TagUnknownPacketType => "tag_unknown_packet_type",
    /// A tag is of a codec that this server does not carry.
    TagUnsupportedCodec => "tag_unsupported_codec",

    /// A value of an RTMP message is of a type or an encoding that is not read, or the message is cut off; the rest counts.
    RtmpAmf => "rtmp_amf",
    /// An RTMP peer sent a command that means nothing at that moment, such as a second connect.
    RtmpCommandOrder => "rtmp_command_order",
    /// An RTMP peer's control message is too short to say anything.
    RtmpControl => "rtmp_control",
    /// The limit of RTMP connections is reached; a new connection is closed.
    RtmpConnections => "rtmp_connections",
    /// An address has the most RTMP connections that it may have; a new connection is closed.
    RtmpConnectionsOfAddress => "rtmp_connections_of_address",
    /// An address opens RTMP connections faster than one may; a new connection is closed.
    RtmpConnectionsTooFast => "rtmp_connections_too_fast",
    /// An RTMP connection without a stream gave its place to a new one where a limit was reached.
    RtmpGaveWay => "rtmp_gave_way",
    /// An RTMP peer that did not publish sent more messages without a meaning than it may; its connection is closed.
    RtmpMeaningless => "rtmp_meaningless",
    /// An RTMP peer's data message has no name.
    RtmpMetadata => "rtmp_metadata",
    /// An RTMP message has a type that this server does not know.
    RtmpMessageType => "rtmp_message_type",
    /// An RTMP peer sent media while it was not publishing.
    RtmpNotPublishing => "rtmp_not_publishing",
    /// A trusted proxy began an RTMP connection with a malformed header of the PROXY protocol.
    RtmpProxyHeader => "rtmp_proxy_header",
    /// An RTMP connection did not finish its PROXY header or its TLS handshake in time.
    RtmpSetupTimeout => "rtmp_setup_timeout",
    /// An RTMP connection's TLS handshake failed.
    RtmpTls => "rtmp_tls",
    /// An RTMP peer sent a command that this server does not know.
    RtmpUnknownCommand => "rtmp_unknown_command",

    /// The limit of HTTP connections is reached; a new connection gets 503 to its first request, or is closed.
    HttpConnections => "http_connections",
    /// An address has the most HTTP connections that it may have; a new connection gets 503, or is closed.
    HttpConnectionsOfAddress => "http_connections_of_address",
    /// An address opens HTTP connections faster than one may; a new connection is closed.
    HttpConnectionsTooFast => "http_connections_too_fast",
    /// An idle HTTP connection gave its place to a new one where a limit was reached.
    HttpGaveWay => "http_gave_way",
    /// An HTTP connection did not bring the headers of its first request in time.
    HttpHeaderTimeout => "http_header_timeout",
    /// An HTTP client took nothing of what there was for it in time; its answer or its connection ends.
    HttpNotRead => "http_not_read",
    /// An HTTP connection's TLS handshake failed.
    HttpTls => "http_tls",
    /// The process may open no more files; a TCP connection is accepted and closed.
    NoDescriptor => "no_descriptor",

    /// A datagram is neither STUN, DTLS, RTP nor RTCP (RFC 7983).
    Unclassified => "unclassified",
    /// A datagram belongs to no session.
    UnknownAddress => "unknown_address",
    /// A datagram came from another machine, and the server listens on loopback.
    OtherMachine => "other_machine",
    /// DTLS, RTP or RTCP came from an address that has not passed a connectivity check.
    AddressNotValidated => "address_not_validated",
    /// A STUN message cannot be parsed, or has no fingerprint.
    StunMalformed => "stun_malformed",
    /// An offer found all places for WebRTC sessions taken by sessions that have connected (503).
    RtcFull => "rtc_full",
    /// An offer came from a token or an address with as many WebRTC viewers as one may have (429).
    RtcShare => "rtc_share",
    /// A datagram came to a shard that is not that of its session, and the queue of that one was full.
    RtcHandOverFull => "rtc_hand_over_full",
    /// A datagram from an unknown address named another shard, and strangers may send those no faster.
    RtcHandOverRate => "rtc_hand_over_rate",
    /// A WebRTC session that had not connected gave way to another.
    RtcGaveWay => "rtc_gave_way",
    /// The limit of WebRTC's TCP connections is reached; a new connection is closed.
    RtcTcpConnections => "rtc_tcp_connections",
    /// An address has the most TCP connections of WebRTC that it may have; a new connection is closed.
    RtcTcpConnectionsOfAddress => "rtc_tcp_connections_of_address",
    /// An address opens TCP connections of WebRTC faster than one may; a new connection is closed.
    RtcTcpConnectionsTooFast => "rtc_tcp_connections_too_fast",
    /// A TCP connection of WebRTC sent a frame that is larger than any datagram of a session; it is closed.
    RtcTcpFrame => "rtc_tcp_frame",
    /// A datagram found the buffer of its TCP connection full, or waited in it for too long, because the peer takes too little.
    RtcTcpFull => "rtc_tcp_full",
    /// A TCP connection of WebRTC that had sent no check, or that no media went by, gave its place to a new one where a limit was reached.
    RtcTcpGaveWay => "rtc_tcp_gave_way",
    /// A TCP connection of WebRTC did not begin with a connectivity check, or ended before one; it is closed.
    RtcTcpNotACheck => "rtc_tcp_not_a_check",
    /// A TCP connection of WebRTC began with a check that is not of a session; it is closed.
    RtcTcpNoSession => "rtc_tcp_no_session",
    /// A peer took nothing of what there was for it on its TCP connection of WebRTC in time; the connection is closed.
    RtcTcpNotRead => "rtc_tcp_not_read",
    /// A TCP connection of WebRTC did not bring its first connectivity check in time; it is closed.
    RtcTcpSilent => "rtc_tcp_silent",
    /// A WebSocket to the events of a room was refused: the node, or its viewers, have as many as they may have (503).
    EventsFull => "events_full",
    /// A WebSocket to the events of a room was refused: the token or address has as many as one may have (429).
    EventsShare => "events_share",
    /// A viewer by HTTP-FLV was refused: viewers have all connections that are not kept for others (503).
    FlvFull => "flv_full",
    /// A viewer by HTTP-FLV was refused: the token or address has as many as one may have (429).
    FlvShare => "flv_share",
    /// A stream of a WHEP session's events was refused: viewers have all connections that are not kept for others (503).
    WhepEventsFull => "whep_events_full",
    /// A stream of a WHEP session's events was refused: the address has as many as one may have (429).
    WhepEventsShare => "whep_events_share",
    /// A request of LL-HLS that would wait for a part was refused: its network, or all of them, have as many as may wait (429, 503).
    HlsShare => "hls_share",
    /// An RTMP player was refused: players have all connections that are not kept for publishers.
    RtmpPlayersFull => "rtmp_players_full",
    /// An RTMP player was refused: the token or address has as many players as one may have.
    RtmpPlayersShare => "rtmp_players_share",
    /// A request or a command was refused: the token or address is faster than one may be (429).
    TooFast => "too_fast",
    /// A publisher sent more than `ingest.bitrate`, and was ended.
    BitrateTooHigh => "bitrate_too_high",
    /// A frame of a publisher has other parameters than the one before, too soon after other changes; frames up to the next keyframe for
    /// which there is room are left out.
    ParametersTooOften => "parameters_too_often",
    /// A STUN message is neither a binding request nor the answer to one of ours.
    StunNotRequest => "stun_not_request",
    /// A STUN message has a user name that is not the session's.
    StunUnknownUser => "stun_unknown_user",
    /// A STUN message fails its integrity check.
    StunIntegrity => "stun_integrity",
    /// A DTLS record cannot be parsed, or is larger than allowed.
    DtlsMalformed => "dtls_malformed",
    /// A DTLS record came that nothing here uses: application data, or more alerts than are read.
    DtlsUnused => "dtls_unused",
    /// Media came before the keys to decrypt it.
    SrtpNotReady => "srtp_not_ready",
    /// A packet is too short for its own headers.
    SrtpMalformed => "srtp_malformed",
    /// A packet's authentication tag is wrong.
    SrtpAuthentication => "srtp_authentication",
    /// A packet was received before, or is too old to know whether it was.
    SrtpReplayed => "srtp_replayed",
    /// A packet has a new SSRC, but the session already has the most that it may have.
    SrtpTooManySsrcs => "srtp_too_many_ssrcs",
    /// A packet came for a session that has ended.
    SessionClosed => "session_closed",
    /// A packet could not be encrypted.
    NotSealed => "not_sealed",
    /// A WebRTC peer's consent to media at its address has ended (RFC 7675); the packet of media or reports, or the DTLS record, is not
    /// sent.
    NoConsent => "no_consent",
    /// A WebRTC session had more checks and DTLS records to send than may wait; the oldest is dropped.
    TransmitsFull => "transmits_full",
    /// A track of a room cannot be had in a form that a WebRTC viewer's offer takes; the session goes on without it. Viewers who wait for a
    /// track count once together.
    TrackNotTaken => "track_not_taken",
    /// A level of the video that a WebRTC viewer should get cannot be had in its codec now; it keeps the one that it has.
    LevelNotTaken => "level_not_taken",
    /// A level of the video that a WebRTC viewer should get is not made, because the node's budget for conversions is spent; it keeps the
    /// one that it has.
    LevelOverBudget => "level_over_budget",
    /// A frame of a WebRTC viewer's track has nothing in it that RTP carries, or is not in the codec of its track.
    NotPacketized => "not_packetized",
    /// The kernel's send buffer was full.
    SocketFull => "socket_full",
    /// The kernel refused to send a datagram.
    SocketRefused => "socket_refused",

    /// A publisher's packet was lost and not repaired.
    PacketLost => "packet_lost",
    /// A publisher's packet came twice, or after its frame was given up.
    PacketLateOrDuplicate => "packet_late_or_duplicate",
    /// An RTP packet cannot be parsed.
    RtpMalformed => "rtp_malformed",
    /// An RTP packet belongs to a stream that was not negotiated, or a viewer sent it.
    RtpUnknownStream => "rtp_unknown_stream",
    /// An RTP packet has a payload type that was not negotiated.
    RtpUnknownPayloadType => "rtp_unknown_payload_type",
    /// An RTCP packet cannot be parsed.
    RtcpMalformed => "rtcp_malformed",
    /// More packets in a row were missing than the receiver asks for again.
    NackOverflow => "nack_overflow",
    /// A viewer asked for packets faster than they are looked for; the rest of its request (NACK) is left.
    NackTooFast => "nack_too_fast",
    /// A viewer asked for a packet that is not kept any more, or that it was never sent; it is not sent again.
    RepairUnknown => "repair_unknown",
    /// A viewer would get more packets that were lost, or that make losses good, than its budget allows; the packet is not sent.
    RepairOverBudget => "repair_over_budget",
    /// The payload of an RTP packet cannot be parsed.
    PayloadMalformed => "payload_malformed",
    /// A frame of a publisher is larger than allowed: by WHIP, or by RTMP in several tags.
    FrameTooLarge => "frame_too_large",
    /// A frame of a WHIP publisher came before the parameters that describe it.
    FrameWithoutParameters => "frame_without_parameters",
    /// A frame of a WHIP publisher lacks packets.
    FrameIncomplete => "frame_incomplete",
    /// A frame of a WHIP publisher came before the keyframe that it needs.
    FrameWaitingForKeyframe => "frame_waiting_for_keyframe",
    /// Too many complete frames of a WHIP publisher waited for the driver; the oldest is dropped.
    FrameNotTaken => "frame_not_taken",
    /// A frame of a WHIP publisher is of a simulcast layer that has not begun, or of another stream of its section, that is not used.
    FrameOfOtherLayer => "frame_of_other_layer",

    /// A video frame came before the first keyframe of an LL-HLS stream, or before the next one after video that stood still.
    HlsNoKeyframe => "hls_no_keyframe",
    /// A frame came before the first main video frame of an LL-HLS stream, or of its new publisher.
    HlsBeforeVideo => "hls_before_video",
    /// An audio frame has a time for which an LL-HLS stream already has audio.
    HlsOverlap => "hls_overlap",
    /// A frame has new parameters, which an LL-HLS stream takes over at its next cut.
    HlsParametersChanged => "hls_parameters_changed",
    /// A frame of a further rendition waited for a cut of the main video that did not come in time.
    HlsUnaligned => "hls_unaligned",
    /// An LL-HLS stream outgrew what the playlists of the node may hold (`hls.windows`), and ended.
    HlsOutgrown => "hls_outgrown",
    /// An LL-HLS stream that had ended was given up before its time: too many have ended, or one that goes on needed its bytes
    /// (`hls.windows`).
    HlsEnded => "hls_ended",
    /// An LL-HLS stream already has the most tracks that it may have; a frame of a further track is refused.
    HlsTooManyTracks => "hls_too_many_tracks",
    /// A part of an LL-HLS stream already holds the most timed metadata that it may hold.
    HlsTooManyEvents => "hls_too_many_events",

    /// Audio came before the first video frame of an HTTP-FLV file that begins with video.
    FlvAudioBeforeVideo => "flv_audio_before_video",
    /// A frame has a time before the beginning of an HTTP-FLV file.
    FlvBeforeStart => "flv_before_start",

    /// A frame of a mix's input could not be decoded, or came while its decoder rested from such frames.
    MixCorrupt => "mix_corrupt",
    /// An audio frame came after its time had been mixed without it.
    MixLate => "mix_late",
    /// An audio frame of an input overlaps the frames before it, or was not played when its timestamps jumped.
    MixLeftOut => "mix_left_out",
    /// A block of 10 ms of one input did not come in time to be mixed.
    MixMissing => "mix_missing",
    /// No decoder could be opened for a frame of an input.
    MixNoDecoder => "mix_no_decoder",
    /// A video frame of an input came before the keyframe that it needs.
    MixNoKeyframe => "mix_no_keyframe",
    /// A video frame of an input was not later than the one before.
    MixOrder => "mix_order",
    /// A block of 10 ms of the program was left out, because the mixer fell too far behind.
    MixOverrun => "mix_overrun",
    /// A mix was reduced, or not begun, because the node's budget of pixels is spent.
    MixReduced => "mix_reduced",
    /// A video frame of an input was shown before its time, because too many frames waited.
    MixQueueFull => "mix_queue_full",
    /// A video frame of an input was not shown, because a newer one was due as well.
    MixSuperseded => "mix_superseded",
    /// A video frame could not be converted to the form of its tile.
    MixUnusable => "mix_unusable",

    /// A frame could not be decoded to derive a track, or came while its decoder rested from such frames.
    TranscodeCorrupt => "transcode_corrupt",
    /// A block of 10 ms of the mixer's PCM was given up; the frames that are encoded from it bring the same audio.
    TranscodeEarly => "transcode_early",
    /// A conversion of video was refused, or ended when its video grew, because the node's budget of pixels is spent. It counts once,
    /// however many viewers ask for it again while they wait.
    TranscodeRefused => "transcode_refused",
    /// An audio packet was left out at a hole in the input, because it would come after its time.
    TranscodeHole => "transcode_hole",
    /// A video frame came before the keyframe that a derived track needs.
    TranscodeNoKeyframe => "transcode_no_keyframe",
    /// A video frame was not later than the one before.
    TranscodeOrder => "transcode_order",
    /// An audio frame has a time that the frames before it already fill.
    TranscodeOverlap => "transcode_overlap",

    /// An event for a webhook was found in the state of an earlier process and cannot be read.
    WebhookRecord => "webhook_record",
    /// The queue of webhooks was full, in events or in bytes; the oldest of the room with the most is dropped.
    WebhookQueue => "webhook_queue",

    /// A line of the log found its queue full, because standard error is not read; the line is dropped.
    LogQueueFull => "log_queue_full",
    /// A line of the log could not be written to standard error.
    LogNotWritten => "log_not_written",
    /// A line of the log came too often from its place in the code.
    LogTooOften => "log_too_often",
}

impl DropReason {
    /// Returns the counter of this reason, for places that count often.
    pub fn counter(self) -> Counter {
        metrics::counter!(metric::DROPS, "reason" => self.name())
    }

    /// Counts `dropped` of what the reason's sentence names. A count of 0 does not register the reason.
    pub fn count(self, dropped: u64) {
        if dropped > 0 {
            self.counter().increment(dropped);
        }
    }
}
