//! XML of GB/T 28181, in whatever encoding.
//!
//! Law: the text of an element, escaped and written again, is read the same.

#![no_main]

use gb28181::manscdp::Report;
use gb28181::xml::{Element, escape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Report::parse(data);
    let Ok(element) = Element::parse(data) else { return };
    let text: String = element.text.chars().filter(|c| !c.is_control()).collect();
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>{}</a>", escape(&text));
    let again = Element::parse(document.as_bytes()).expect("what is escaped is read");
    assert_eq!(again.text, text.trim());
});
