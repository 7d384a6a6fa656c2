//! data_stream
