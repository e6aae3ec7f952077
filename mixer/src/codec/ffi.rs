//! The only file with `unsafe` and raw FFmpeg calls. It holds what `ffmpeg-next` does not offer, or does not offer
//! safely.
//!
//! Only this file depends on the major version of FFmpeg. Nothing here makes decisions.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Once;

use bytes::Bytes;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Error as Cause, codec, ffi, frame};
use onmic_media::codec::Colour;

/// Sets an option of a codec that is not open yet, or an option that may change while the codec is open. Fails if the
/// name does not exist, or if a number does not read back as it was written.
pub(crate) fn set_option(context: &mut codec::Context, name: &str, value: &str) -> Result<(), Cause> {
    let (Ok(c_name), Ok(c_value)) = (CString::new(name), CString::new(value)) else { return Err(Cause::InvalidData) };
    // SAFETY: the pointer is valid as long as the context is borrowed, an AVCodecContext begins with its AVClass as the
    // option functions ask, and both strings end in NUL and are copied by the callee.
    let set = unsafe {
        let object = context.as_mut_ptr().cast();
        ffi::av_opt_set(object, c_name.as_ptr(), c_value.as_ptr(), ffi::AV_OPT_SEARCH_CHILDREN)
    };
    if set < 0 {
        return Err(Cause::from(set));
    }
    let mut text: *mut u8 = ptr::null_mut();
    // SAFETY: as above; `text` receives a string allocated by av_malloc, which is freed below.
    let got = unsafe {
        let object = context.as_mut_ptr().cast();
        ffi::av_opt_get(object, c_name.as_ptr(), ffi::AV_OPT_SEARCH_CHILDREN, &raw mut text)
    };
    if got < 0 || text.is_null() {
        return Err(Cause::OptionNotFound);
    }
    // SAFETY: av_opt_get succeeded, so `text` is a NUL-terminated string that we own, free once and do not use after
    // that.
    let read_back = unsafe {
        let read_back = CStr::from_ptr(text.cast()).to_string_lossy().into_owned();
        ffi::av_free(text.cast());
        read_back
    };
    match (value.parse::<f64>(), read_back.parse::<f64>()) {
        (Ok(wanted), Ok(got)) if (wanted - got).abs() > 1e-6 * wanted.abs() => Err(Cause::InvalidData),
        _ => Ok(()),
    }
}

/// Gives a decoder its out-of-band configuration. The decoder must not be open yet.
pub(crate) fn set_extradata(context: &mut codec::Context, data: &[u8]) -> Result<(), Cause> {
    let length = c_int::try_from(data.len()).map_err(|_| Cause::InvalidData)?;
    // SAFETY: the buffer is allocated by av_mallocz, zeroed, and has the padding that the decoder may read; `data` fits
    // in it. The context owns the buffer from here on and frees it with itself; an earlier buffer is freed first.
    unsafe {
        let buffer = ffi::av_mallocz(data.len() + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
        if buffer.is_null() {
            return Err(Cause::Other { errno: ffmpeg_next::error::ENOMEM });
        }
        ptr::copy_nonoverlapping(data.as_ptr(), buffer, data.len());
        let context = context.as_mut_ptr();
        ffi::av_freep((&raw mut (*context).extradata).cast());
        (*context).extradata = buffer;
        (*context).extradata_size = length;
    }
    Ok(())
}

/// Returns the out-of-band configuration that an opened encoder gives for decoders.
pub(crate) fn extradata(context: &codec::Context) -> Bytes {
    // SAFETY: extradata is null or points to extradata_size bytes that live as long as the context.
    unsafe {
        let context = context.as_ptr();
        let (data, size) = ((*context).extradata, (*context).extradata_size);
        match usize::try_from(size) {
            Ok(size) if !data.is_null() => Bytes::copy_from_slice(std::slice::from_raw_parts(data, size)),
            _ => Bytes::new(),
        }
    }
}

/// Returns the number of samples that an opened encoder puts before the first sample it is given.
pub(crate) fn initial_padding(context: &codec::Context) -> i64 {
    // SAFETY: the context is borrowed, so its field may be read.
    i64::from(unsafe { (*context.as_ptr()).initial_padding })
}

/// Returns how the samples of a frame become colours.
pub(crate) fn colour(frame: &frame::Video) -> Colour {
    // SAFETY: the frame outlives the call, and the fields are enumerations of C.
    let [primaries, transfer, matrix, range] = unsafe {
        let frame = frame.as_ptr();
        [
            number(&raw const (*frame).color_primaries),
            number(&raw const (*frame).color_trc),
            number(&raw const (*frame).colorspace),
            number(&raw const (*frame).color_range),
        ]
    };
    let point = |value: c_int| u8::try_from(value).unwrap_or(2);
    Colour {
        primaries: point(primaries),
        transfer: point(transfer),
        matrix: point(matrix),
        full_range: range == ffi::AVColorRange::AVCOL_RANGE_JPEG as c_int,
    }
}

/// Reads an enumeration of C as the integer that it is. FFmpeg copies numbers of the bitstream into these fields, and Rust
/// must not read one that its enumeration has no name for.
///
/// # Safety
///
/// `field` points to an enumeration of C that may be read.
unsafe fn number<E>(field: *const E) -> c_int {
    const { assert!(size_of::<E>() == size_of::<c_int>()) };
    // SAFETY: the caller promises it, and every value of the field is an integer.
    unsafe { field.cast::<c_int>().read() }
}

/// Returns a part of a frame that shares the frame's samples. Chroma lies on whole samples if the position and sides
/// are even.
pub(crate) fn part(frame: &frame::Video, x: u32, y: u32, width: u32, height: u32) -> Result<frame::Video, Cause> {
    let inside = |from: u32, length: u32, side: u32| from.checked_add(length).is_some_and(|end| end <= side);
    if width == 0 || height == 0 || !inside(x, width, frame.width()) || !inside(y, height, frame.height()) {
        return Err(Cause::InvalidData);
    }
    let mut part = frame::Video::empty();
    // SAFETY: both frames are valid; after av_frame_ref the new one holds a reference to the samples. The part was
    // checked to lie inside the frame and not to be empty, and FFmpeg moves the pointers of each plane as its format
    // requires.
    let cut = unsafe {
        let to = part.as_mut_ptr();
        let shared = ffi::av_frame_ref(to, frame.as_ptr());
        if shared < 0 {
            return Err(Cause::from(shared));
        }
        (*to).crop_left = x as usize;
        (*to).crop_top = y as usize;
        (*to).crop_right = (frame.width() - x - width) as usize;
        (*to).crop_bottom = (frame.height() - y - height) as usize;
        ffi::av_frame_apply_cropping(to, ffi::AV_FRAME_CROP_UNALIGNED as c_int)
    };
    if cut < 0 { Err(Cause::from(cut)) } else { Ok(part) }
}

/// Copies the samples of a frame if they are shared, so that the frame can be drawn on.
pub(crate) fn make_writable(frame: &mut frame::Video) -> Result<(), Cause> {
    // SAFETY: the frame is valid and owns references to its samples.
    let made = unsafe { ffi::av_frame_make_writable(frame.as_mut_ptr()) };
    if made < 0 { Err(Cause::from(made)) } else { Ok(()) }
}

/// Wraps FFmpeg's scaler, prepared for one pair of forms.
pub(crate) struct ScalingContext(pub(crate) scaling::Context);

// SAFETY: an SwsContext is plain memory that is not tied to a thread; it is only used through `&mut`.
unsafe impl Send for ScalingContext {}

/// Holds frames in the memory of a GPU that encodes by VAAPI.
pub(crate) struct Surfaces(NonNull<ffi::AVBufferRef>);

// SAFETY: it is a reference to FFmpeg's frames context, whose reference count is atomic and which locks its pool.
unsafe impl Send for Surfaces {}

impl Surfaces {
    /// Opens the first GPU and gives its frames context to an encoder that is not open yet. The encoder then takes
    /// surfaces of this size.
    pub(crate) fn open(encoder: &mut codec::Context, width: u32, height: u32) -> Result<Self, Cause> {
        const POOL: c_int = 8; // The encoder holds one or two.
        let (Ok(width), Ok(height)) = (c_int::try_from(width), c_int::try_from(height)) else {
            return Err(Cause::InvalidData);
        };
        let mut device: *mut ffi::AVBufferRef = ptr::null_mut();
        let kind = ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI;
        // SAFETY: `device` receives a new reference, which is given up below; names may be null.
        let made = unsafe { ffi::av_hwdevice_ctx_create(&raw mut device, kind, ptr::null(), ptr::null_mut(), 0) };
        if made < 0 {
            return Err(Cause::from(made));
        }
        // SAFETY: the device is valid; the frames context holds a reference of its own to it.
        let frames = unsafe {
            let frames = ffi::av_hwframe_ctx_alloc(device);
            ffi::av_buffer_unref(&raw mut device);
            Self(NonNull::new(frames).ok_or(Cause::Unknown)?)
        };
        // SAFETY: the data of such a reference is an AVHWFramesContext, which nothing else uses until it is
        // initialised; the encoder gets its own reference, which it frees with itself.
        let made = unsafe {
            let parameters = (*frames.0.as_ptr()).data.cast::<ffi::AVHWFramesContext>();
            (*parameters).format = ffi::AVPixelFormat::AV_PIX_FMT_VAAPI;
            (*parameters).sw_format = ffi::AVPixelFormat::AV_PIX_FMT_NV12;
            (*parameters).width = width;
            (*parameters).height = height;
            (*parameters).initial_pool_size = POOL;
            let made = ffi::av_hwframe_ctx_init(frames.0.as_ptr());
            if made >= 0 {
                (*encoder.as_mut_ptr()).hw_frames_ctx = ffi::av_buffer_ref(frames.0.as_ptr());
            }
            made
        };
        if made < 0 { Err(Cause::from(made)) } else { Ok(frames) }
    }

    /// Copies a frame in NV12 to the GPU, with its timestamp and type.
    pub(crate) fn upload(&self, from: &frame::Video) -> Result<frame::Video, Cause> {
        let mut surface = frame::Video::empty();
        // SAFETY: both frames are valid, the context is initialised, and `surface` owns the GPU's surface once it has
        // it.
        let made = unsafe {
            let to = surface.as_mut_ptr();
            let mut made = ffi::av_hwframe_get_buffer(self.0.as_ptr(), to, 0);
            if made >= 0 {
                made = ffi::av_hwframe_transfer_data(to, from.as_ptr(), 0);
            }
            if made >= 0 {
                made = ffi::av_frame_copy_props(to, from.as_ptr());
            }
            made
        };
        if made < 0 { Err(Cause::from(made)) } else { Ok(surface) }
    }
}

impl Drop for Surfaces {
    fn drop(&mut self) {
        let mut frames = self.0.as_ptr();
        // SAFETY: this is our own reference, given up once.
        unsafe { ffi::av_buffer_unref(&raw mut frames) };
    }
}

/// Converts samples of any rate, layout and format to interleaved `f32` samples of one rate and channel count.
///
/// It always resamples, even between equal rates, so that the length can be corrected without a break.
pub(crate) struct Resampler {
    context: NonNull<ffi::SwrContext>,
    input: Input,
    rate: u32,
    channels: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Input {
    rate: u32,
    format: c_int,
    channels: c_int,
    mask: u64,
}

impl Input {
    fn of(frame: &frame::Audio) -> Self {
        // SAFETY: the frame outlives the call. `u.mask` is read as plain bits whatever the order says.
        unsafe {
            let frame = frame.as_ptr();
            let layout = &(*frame).ch_layout;
            Self {
                rate: u32::try_from((*frame).sample_rate).unwrap_or(0),
                format: (*frame).format,
                channels: layout.nb_channels,
                mask: if layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE { layout.u.mask } else { 0 },
            }
        }
    }
}

// SAFETY: an SwrContext is plain memory that is not tied to a thread; it is only used through `&mut`.
unsafe impl Send for Resampler {}

impl Resampler {
    /// Opens a resampler for samples like those of `frame`.
    pub(crate) fn open(frame: &frame::Audio, rate: u32, channels: u16) -> Result<Self, Cause> {
        let input = Input::of(frame);
        let mut context: *mut ffi::SwrContext = ptr::null_mut();
        // SAFETY: the layouts are zeroed before FFmpeg fills them, and native layouts own no memory; a decoder set the
        // frame's format, so it is a value of the enumeration; on any error the context is freed and not used.
        unsafe {
            let mut to: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&raw mut to, c_int::from(channels));
            let mut from: ffi::AVChannelLayout = std::mem::zeroed();
            if input.mask != 0 {
                ffi::av_channel_layout_from_mask(&raw mut from, input.mask);
            } else {
                ffi::av_channel_layout_default(&raw mut from, input.channels);
            }
            let made = ffi::swr_alloc_set_opts2(
                &raw mut context,
                &raw mut to,
                ffi::AVSampleFormat::AV_SAMPLE_FMT_FLT,
                rate as c_int,
                &raw mut from,
                std::mem::transmute::<c_int, ffi::AVSampleFormat>(input.format),
                input.rate as c_int,
                0,
                ptr::null_mut(),
            );
            let made = if made < 0 {
                made
            } else {
                ffi::av_opt_set(context.cast(), c"flags".as_ptr(), c"res".as_ptr(), 0);
                ffi::swr_init(context)
            };
            if made < 0 {
                ffi::swr_free(&raw mut context);
                return Err(Cause::from(made));
            }
        }
        let context = NonNull::new(context).ok_or(Cause::Unknown)?;
        Ok(Self { context, input, rate, channels })
    }

    /// Returns whether `frame` has the form that the resampler was opened for.
    pub(crate) fn fits(&self, frame: &frame::Audio) -> bool {
        self.input == Input::of(frame)
    }

    /// Converts `frame` without its first `skip` samples, and appends the result to `out`.
    pub(crate) fn convert(&mut self, frame: &frame::Audio, skip: usize, out: &mut Vec<f32>) -> Result<(), Cause> {
        let count = frame.samples().saturating_sub(skip);
        let planes = frame.planes();
        let mut inputs = [ptr::null::<u8>(); 64];
        if planes > inputs.len() || !self.fits(frame) {
            return Err(Cause::InputChanged);
        }
        // SAFETY: `skip` is at most the frame's samples, so each pointer stays inside its plane; a packed plane holds
        // all channels of a sample side by side.
        unsafe {
            let format = std::mem::transmute::<c_int, ffi::AVSampleFormat>(self.input.format);
            let channels = if frame.is_planar() { 1 } else { self.input.channels as usize };
            let offset = skip.min(frame.samples()) * ffi::av_get_bytes_per_sample(format) as usize * channels;
            for (plane, input) in inputs.iter_mut().enumerate().take(planes) {
                *input = (*(*frame.as_ptr()).extended_data.add(plane)).add(offset);
            }
        }
        self.run(inputs.as_mut_ptr(), count, out)
    }

    /// Appends the samples that are still inside to `out`. The next conversion starts afresh.
    pub(crate) fn flush(&mut self, out: &mut Vec<f32>) -> Result<(), Cause> {
        self.run(ptr::null_mut(), 0, out)?;
        // SAFETY: the context is valid; initialising it again is how libswresample resets itself.
        let made = unsafe { ffi::swr_init(self.context.as_ptr()) };
        if made < 0 { Err(Cause::from(made)) } else { Ok(()) }
    }

    /// Feeds `samples` of silence at the input rate. They come out with the next conversion.
    pub(crate) fn silence(&mut self, samples: u32) -> Result<(), Cause> {
        // SAFETY: the context is valid and initialised.
        let fed = unsafe { ffi::swr_inject_silence(self.context.as_ptr(), samples as c_int) };
        if fed < 0 { Err(Cause::from(fed)) } else { Ok(()) }
    }

    /// Returns the number of samples that went in and have not come out yet, at the output rate.
    pub(crate) fn delay(&self) -> i64 {
        // SAFETY: the context is valid and initialised.
        unsafe { ffi::swr_get_delay(self.context.as_ptr(), i64::from(self.rate)) }
    }

    /// Makes `samples` more samples over the next `distance` output samples, or fewer if it is negative.
    pub(crate) fn stretch(&mut self, samples: i32, distance: i32) -> Result<(), Cause> {
        // SAFETY: the context is valid and initialised.
        let set = unsafe { ffi::swr_set_compensation(self.context.as_ptr(), samples, distance) };
        if set < 0 { Err(Cause::from(set)) } else { Ok(()) }
    }

    /// Returns the number of samples per second that go in.
    pub(crate) fn input_rate(&self) -> u32 {
        self.input.rate
    }

    /// Converts `count` samples. `inputs` has one pointer per plane to them, or is null to flush.
    fn run(&mut self, inputs: *mut *const u8, count: usize, out: &mut Vec<f32>) -> Result<(), Cause> {
        let count = c_int::try_from(count).map_err(|_| Cause::InvalidData)?;
        let channels = usize::from(self.channels);
        let before = out.len();
        // SAFETY: `inputs` is as stated above; `out` is grown to the most that libswresample says it may write (bounded
        // by the samples that go in), and cut to what it wrote.
        let made = unsafe {
            let room = ffi::swr_get_out_samples(self.context.as_ptr(), count).max(0);
            out.resize(before + room as usize * channels, 0.0);
            let mut outputs = [out.as_mut_ptr().add(before).cast::<u8>()];
            ffi::swr_convert(self.context.as_ptr(), outputs.as_mut_ptr().cast(), room, inputs.cast(), count)
        };
        out.truncate(before + usize::try_from(made).unwrap_or(0) * channels);
        if made < 0 { Err(Cause::from(made)) } else { Ok(()) }
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: the context was made by swr_alloc_set_opts2, and is freed once.
        unsafe { ffi::swr_free(&raw mut context) };
    }
}

/// Sends FFmpeg's log to `tracing`, at debug level: its warnings are about the media of publishers, not about this
/// program.
pub(crate) fn log_to_tracing() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback keeps none of its arguments, and may be called from any thread.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            ffi::av_log_set_callback(Some(log_line));
        }
        // The type of a C argument list differs between architectures.
        #[cfg(not(target_arch = "x86_64"))]
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    });
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn log_line(
    object: *mut std::ffi::c_void,
    level: c_int,
    format: *const std::ffi::c_char,
    arguments: *mut ffi::__va_list_tag,
) {
    if level > ffi::AV_LOG_WARNING || !tracing::enabled!(target: "ffmpeg", tracing::Level::DEBUG) {
        return;
    }
    let mut line = [0; 512];
    let mut print_prefix = 1;
    // SAFETY: the arguments are those that FFmpeg passed; the line is written within its length and ends in NUL.
    let line = unsafe {
        let room = line.len() as c_int;
        let into = line.as_mut_ptr();
        ffi::av_log_format_line2(object, level, format, arguments, into, room, &raw mut print_prefix);
        CStr::from_ptr(line.as_ptr())
    };
    tracing::debug!(target: "ffmpeg", "{}", line.to_string_lossy().trim_end());
}

/// Returns the release of FFmpeg that the libraries come from.
pub(crate) fn release() -> String {
    // SAFETY: the function returns a static string.
    unsafe { CStr::from_ptr(ffi::av_version_info()) }.to_string_lossy().into_owned()
}

/// Returns the name and version number of each library in use.
pub(crate) fn libraries() -> [(&'static str, u32); 4] {
    // SAFETY: these functions take nothing and return a constant.
    unsafe {
        [
            ("libavutil", ffi::avutil_version()),
            ("libavcodec", ffi::avcodec_version()),
            ("libswscale", ffi::swscale_version()),
            ("libswresample", ffi::swresample_version()),
        ]
    }
}
