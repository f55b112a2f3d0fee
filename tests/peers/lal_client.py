"""Makes a client from the description of lal's API beside this, and uses it.

Arguments: the API's URL, a folder, a stream (its last item) and a viewer's session to kick.
Prints what it found as JSON. A key that lal has and the answer has not is an error of the client.
"""
import importlib
import json
import pathlib
import subprocess
import sys

url, folder, stream, viewer = sys.argv[1:]
here = pathlib.Path(__file__).parent
config = pathlib.Path(folder, "client.yaml")
config.write_text("post_hooks: []\n")
generator = pathlib.Path(sys.executable).parent / "openapi-python-client"
subprocess.run(
    [generator, "generate", "--path", here / "lal_api.json", "--meta", "none", "--config", config,
     "--output-path", pathlib.Path(folder, "lal_client")],
    check=True, stdout=subprocess.DEVNULL,
)
sys.path.insert(0, folder)
client = importlib.import_module("lal_client").Client(base_url=url, raise_on_unexpected_status=True)
models = importlib.import_module("lal_client.models")


def call(name, **arguments):
    endpoint = importlib.import_module(f"lal_client.api.default.{name}")
    return endpoint.sync(client=client, **arguments)


def assert_session(session):
    """Texts and numbers are what they should be: the client takes either."""
    for key, value in session.to_dict().items():
        text = key in ("session_id", "protocol", "base_type", "remote_addr", "start_time")
        assert type(value) is (str if text else int), (key, value)


info = call("lal_info")
assert info.error_code == 0 and info.desp == "succ", info
groups = call("all_group").data.groups
group = call("group", stream_name=stream).data
assert [one.stream_name for one in groups] == [group.stream_name] == [stream]
for session in [group.pub, group.pull, *group.subs]:
    assert_session(session)
kick = models.Kick(stream_name=stream, session_id=viewer)
found = {
    "codecs": [group.video_codec, group.audio_codec],
    "size": [group.video_width, group.video_height],
    "publisher": group.pub.session_id,
    "viewers": [session.session_id for session in group.subs],
    "rates": [rate.v for rate in group.in_frame_per_sec],
    "absent": call("group", stream_name="absent").to_dict(),
    "kick": call("kick_session", body=kick).to_dict(),
    "unknown": call("kick_session", body=models.Kick(stream, "FLVSUB999")).to_dict(),
    "block": call("add_ip_blacklist", body=models.Block("192.0.2.1", 1)).to_dict(),
    "pull": call("start_relay_pull", body=models.StartPull(url="rtmp://127.0.0.1:1/live/x")).to_dict(),
    "stop": call("stop_relay_pull", stream_name="absent").to_dict(),
    "rtp": call("start_rtp_pub", body=models.StartRtp(stream_name="x")).error_code,
}
print(json.dumps(found))
