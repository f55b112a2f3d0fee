//! Where a configuration comes from: a file, the environment, arguments.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;

use super::error::{Error, Place, Problem};
use super::tree::Tree;
use super::{Config, check, lal, render};

/// What the names of our environment variables begin with.
pub const ENVIRONMENT_PREFIX: &str = "HEADWATER_";

/// What a text that is no file is called.
const TEXT: &str = "configuration";

/// The largest file that is read: a thousand overrides have a tenth of this.
const MAX_FILE: u64 = 1 << 20;

/// Where our own file may be, relative to the working directory. lal's names are not among them:
/// a file of lal's that happens to lie about must not turn a server into one with lal's defaults,
/// which are open to everybody; it is read when it is asked for.
const PLACES: [&str; 3] =
    ["headwater.toml", "conf/headwater.toml", "/etc/headwater/headwater.toml"];

/// Where to look for settings. Later sources take precedence: file, environment, arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The file that was asked for; without one, see [`discover`].
    pub file: Option<PathBuf>,
    /// What would be in a file, which is not looked for then: our TOML, or lal's JSON.
    pub text: Option<String>,
    /// Environment variables, by name; those that are not ours are passed over.
    /// `HEADWATER_RTMP__LISTEN` is `rtmp.listen`.
    pub environment: Vec<(String, String)>,
    /// Arguments of the form `key=value`.
    pub arguments: Vec<String>,
    /// Keys and values that the program sets itself. They take precedence over all others.
    pub settings: Vec<(String, String)>,
}

/// A configuration that makes sense.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What the operator should know, a line each.
    pub warnings: Vec<String>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    tree: Tree,
}

impl Loaded {
    /// Where the value of a key such as `rtmp.listen` comes from.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.tree.place(key)
    }

    /// The configuration as a commented TOML file, which says where each value is from that was
    /// set.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(&self.config, &|path| match self.place(path) {
            Place::Default => None,
            place => Some(place),
        })
    }
}

impl Sources {
    /// The environment of this process, no file asked for, no arguments.
    #[must_use]
    pub fn from_environment() -> Self {
        // Variables that are not text are not ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { environment: std::env::vars_os().filter_map(text).collect(), ..Self::default() }
    }

    /// Reads all sources and checks what they say together.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(&self) -> Result<Loaded, Error> {
        if let (None, Some(text)) = (&self.file, &self.text) {
            let loaded = self.combine(Some((Path::new(TEXT), text.clone())))?;
            return Ok(Loaded { file: None, ..loaded });
        }
        let file = self.file.clone().or_else(discover);
        match file.as_deref() {
            Some(path) => self.combine(Some((path, read(path)?))),
            None => self.combine(None),
        }
    }

    /// What [`Self::load`] does once the file is read.
    pub(super) fn combine(&self, file: Option<(&Path, String)>) -> Result<Loaded, Error> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let mut layers = Vec::new();
        if let Some((path, text)) = &file {
            layers.push(parse(path, text, &mut warnings)?);
        }
        self.read_environment(&mut layers, &mut warnings);
        for argument in &self.arguments {
            match read_argument(argument) {
                Ok(layer) => layers.push(layer),
                Err(problem) => problems.push(problem),
            }
        }
        for (path, text) in &self.settings {
            let place = Place::Program(path.as_str().into());
            layers.push(Tree::single(path, value_of(path, text), place));
        }
        let mut tree = Tree::default();
        for mut layer in layers {
            layer.drop_misplaced(&mut problems);
            tree.merge(layer);
        }
        let config = tree.read(&mut problems);
        check::check(&config, &tree, &mut problems, &mut warnings);
        Error::unless_empty(problems)?;
        let file = file.map(|(path, _)| path.to_owned());
        Ok(Loaded { config, warnings, file, tree })
    }

    fn read_environment(&self, layers: &mut Vec<Tree>, warnings: &mut Vec<String>) {
        let mut ours: Vec<_> = self
            .environment
            .iter()
            .filter_map(|(name, value)| Some((name, name.strip_prefix(ENVIRONMENT_PREFIX)?, value)))
            .collect();
        // The same at every start, whatever order the system has them in.
        ours.sort_unstable();
        for (name, path, text) in ours {
            let path = path.to_ascii_lowercase();
            if path.contains("__") || path == super::OVERRIDES {
                let path = path.replace("__", ".");
                let place = Place::Environment(name.as_str().into());
                layers.push(Tree::single(&path, value_of(&path, text), place));
            } else if let Some((section, key)) = lacks_underscore(&path) {
                warnings.push(format!(
                    "environment variable {name} is not a setting; did you mean \
                     {ENVIRONMENT_PREFIX}{}__{}, with two underscores?",
                    section.to_ascii_uppercase(),
                    key.to_ascii_uppercase()
                ));
            }
        }
    }
}

/// Reads one file, and nothing else.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(path: &Path) -> Result<Loaded, Error> {
    Sources { file: Some(path.to_owned()), ..Sources::default() }.load()
}

/// Our own file, if it is in one of the places where it may be.
#[must_use]
pub fn discover() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<String, Problem> {
    let place = || Place::File { file: path.display().to_string().into(), at: None };
    let wrong = |error: io::Error| {
        let problem = Problem::new(place(), "", format!("cannot be read: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => {
                problem.remedy("`headwater config print` writes a file to begin with")
            }
            _ => problem,
        }
    };
    let mut text = String::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(wrong)?;
    if text.len() as u64 > MAX_FILE {
        let what = format!("is larger than {MAX_FILE} bytes");
        return Err(Problem::new(place(), "", what).remedy("is it a configuration?"));
    }
    Ok(text)
}

/// A file of ours, or of lal's: by its ending, and if that says nothing, by how it begins.
fn parse(path: &Path, text: &str, warnings: &mut Vec<String>) -> Result<Tree, Error> {
    let file: Arc<str> = path.display().to_string().into();
    // Windows editors begin files with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_json = match ending {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    if is_json {
        lal::translate(&file, text, &|path| path.is_file(), warnings)
    } else {
        Ok(Tree::from_toml(&file, text)?)
    }
}

fn read_argument(argument: &str) -> Result<Tree, Problem> {
    let place = Place::Argument(argument.into());
    let Some((path, text)) = argument.split_once('=') else {
        let problem = Problem::new(place, "", "there is no = in it");
        return Err(problem.remedy("write --set KEY=VALUE, such as --set rtmp.listen=:1935"));
    };
    let path = path.trim();
    Ok(Tree::single(path, value_of(path, text.trim()), place))
}

/// A value outside of a file: as in TOML, but text needs no quotes, and a list no brackets.
fn value_of(path: &str, text: &str) -> Value {
    let parsed = text.parse::<Value>().ok();
    let defaults = Config::default().to_table();
    let default = path.split_once('.').and_then(|(section, key)| defaults.get(section)?.get(key));
    match (default, parsed) {
        (_, Some(value @ (Value::String(_) | Value::Array(_)))) => value,
        (Some(Value::Array(_)), _) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(Value::from).collect())
        }
        // A number may be meant as a name.
        (Some(Value::String(_)), _) | (_, None) => Value::from(text),
        (_, Some(value)) => value,
    }
}

/// The section and the key of a variable's name that has one underscore where two are needed.
fn lacks_underscore(path: &str) -> Option<(&'static str, &'static str)> {
    Config::SECTIONS.iter().find_map(|section| {
        let rest = path.strip_prefix(section.name)?.strip_prefix('_')?;
        let key = section.keys.iter().find(|key| key.name == rest)?;
        Some((section.name, key.name))
    })
}
