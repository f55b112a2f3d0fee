"""An RTSP server made of GStreamer's: `/clip` plays a file, an MP4 of H.264 and AAC; `/record` takes
H.264 and AAC and writes them to another file, as Matroska.

Prints the port that it listens on.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def playing(file):
    """What is sent to those who play."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( filesrc location={file} ! qtdemux name=tracks"
        " tracks.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96"
        " tracks.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
    )
    factory.set_shared(True)
    return factory


def recording(file):
    """What takes from those who record."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( rtph264depay name=depay0 ! h264parse ! queue ! tracks."
        " rtpmp4gdepay name=depay1 ! aacparse ! queue ! tracks."
        f" matroskamux streamable=true name=tracks ! filesink location={file} )"
    )
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    return factory


def main():
    source, recorded = sys.argv[1:3]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    mounts = server.get_mount_points()
    mounts.add_factory("/clip", playing(source))
    mounts.add_factory("/record", recording(recorded))
    server.attach(None)
    print(f"port {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


main()
