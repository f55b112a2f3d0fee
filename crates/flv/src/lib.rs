//! FLV tags and files, AMF0 and AMF3, legacy and Enhanced RTMP payload headers.
