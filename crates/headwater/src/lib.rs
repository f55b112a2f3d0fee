//! The live media server: program and embedding façade.
