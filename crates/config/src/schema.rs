//! What is known about every key, and the macro that says it once.
//!
//! A section is declared with its keys: for each one the documentation, what a reload does to it,
//! its type, its default, and the values that are in range. From this come the struct, its
//! default, the range check, the commented sample, the table of keys in the documentation, and
//! what is reported after a reload.

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At a reload, for what begins afterwards.
    Live,
    /// When the server is started again.
    Restart,
}

/// A key of a section.
#[derive(Debug)]
pub struct Key {
    /// Its name in the section.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub about: &'static [&'static str],
    /// When a change takes effect.
    pub effect: Effect,
    /// The smallest and the largest value, as they are written.
    pub range: Option<fn() -> (String, String)>,
}

/// A table of the file.
#[derive(Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub about: &'static [&'static str],
    /// Its keys, in the order of the documentation.
    pub keys: &'static [Key],
}

/// Takes notice of a value that is out of range: its path, the value, and the range.
pub(crate) type Report<'a> = &'a mut dyn FnMut(String, String, (String, String));

/// Declares a section. What it names is named by its path: sections stand in several modules.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+
               $effect:ident $key:ident: $type:ty = $default:expr $(; $range:expr)?, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $( $(#[doc = $doc])+ pub $key: $type, )+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $name {
            pub(crate) const ABOUT: &[&str] = &[$($about),+];
            pub(crate) const KEYS: &[$crate::schema::Key] = &[ $( $crate::schema::Key {
                name: stringify!($key),
                about: &[$($doc),+],
                effect: $crate::schema::Effect::$effect,
                range: $crate::schema::section!(@range $type $(, $range)?),
            } ),+ ];

            /// Reports every value that is out of range.
            #[allow(unused_variables, reason = "not every section has a range")]
            pub(crate) fn check(&self, section: &str, report: $crate::schema::Report<'_>) {
                $( $crate::schema::section!(
                    @check self.$key, section, stringify!($key), report $(, $range)?
                ); )+
            }

            /// Leaves the keys that only a start reads as `started` has them.
            pub(crate) fn keep(&mut self, started: &Self) {
                $( if let $crate::schema::Effect::Restart = $crate::schema::Effect::$effect {
                    self.$key.clone_from(&started.$key);
                } )+
            }
        }

        #[cfg(test)]
        impl $crate::tests::Sample for $name {
            fn sample(rng: &mut $crate::tests::TestRng) -> Self {
                Self { $( $key: $crate::tests::Sample::sample(rng), )+ }
            }
        }
    };

    (@range $type:ty) => { None };
    (@range $type:ty, $range:expr) => {
        Some(|| {
            let range: std::ops::RangeInclusive<$type> = $range;
            (range.start().to_string(), range.end().to_string())
        })
    };
    (@check $value:expr, $section:expr, $key:expr, $report:expr) => {};
    (@check $value:expr, $section:expr, $key:expr, $report:expr, $range:expr) => {
        let range = $range;
        if !range.contains(&$value) {
            let bounds = (range.start().to_string(), range.end().to_string());
            $report(format!("{}.{}", $section, $key), $value.to_string(), bounds);
        }
    };
}

/// Declares a section and the struct that says part of it for some streams.
macro_rules! section_with_overrides {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident;
        $(#[$override_about:meta])+
        pub struct $override:ident;
        $( $(#[doc = $doc:literal])+
           $effect:ident $key:ident: $type:ty = $default:expr $(; $range:expr)?, )+
    ) => {
        $crate::schema::section! {
            $(#[doc = $about])+
            pub struct $name {
                $( $(#[doc = $doc])+ $effect $key: $type = $default $(; $range)?, )+
            }
        }

        $(#[$override_about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $override {
            /// The paths of the streams that are meant: `*` stands for any characters, slashes
            /// included, `?` for one.
            #[serde(rename = "match")]
            pub pattern: $crate::values::Pattern,
            $( $(#[doc = $doc])+
               #[serde(skip_serializing_if = "Option::is_none")]
               pub $key: Option<$type>, )+
        }

        impl $override {
            /// Puts what is said here into `rules`.
            pub fn apply(&self, rules: &mut $name) {
                $( if let Some(value) = &self.$key { rules.$key = value.clone(); } )+
            }
        }

        #[cfg(test)]
        impl $crate::tests::Sample for $override {
            fn sample(rng: &mut $crate::tests::TestRng) -> Self {
                use $crate::tests::Sample;
                Self { pattern: Sample::sample(rng), $( $key: Sample::sample(rng), )+ }
            }
        }
    };
}

/// Declares the configuration: its sections, and the overrides.
macro_rules! configuration {
    (
        $(#[$about:meta])+
        pub struct $name:ident { $( $(#[$doc:meta])+ $section:ident: $type:ident, )+ }
    ) => {
        $(#[$about])+
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[$doc])+ pub $section: $type, )+
            /// Rules for the streams whose path matches a pattern.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub stream_override: Vec<StreamOverride>,
        }

        impl $name {
            /// Every section and key, in the order of the documentation.
            pub const SECTIONS: &[Section] = &[ $( Section {
                name: stringify!($section),
                about: $type::ABOUT,
                keys: $type::KEYS,
            } ),+ ];

            /// Reports every value that is out of range, overrides aside.
            fn check_ranges(&self, report: Report<'_>) {
                $( self.$section.check(stringify!($section), report); )+
            }

            /// What holds when this is read while a server runs that has `started` with another
            /// one: what only a start reads stays as it was.
            #[must_use]
            pub fn while_running(mut self, started: &Self) -> Self {
                $( self.$section.keep(&started.$section); )+
                self
            }
        }

        #[cfg(test)]
        impl tests::Sample for $name {
            fn sample(rng: &mut tests::TestRng) -> Self {
                Self {
                    $( $section: tests::Sample::sample(rng), )+
                    stream_override: tests::Sample::sample(rng),
                }
            }
        }
    };
}

pub(crate) use {configuration, section, section_with_overrides};
