//! Go's `text/template`.
//!
//! In come a template and the names of the fields that its data has; out goes a [`Program`], which renders such data. `gotmpl`
//! parses and runs templates and prints as Go does. Its differences to Go are corrected when a template is loaded, by rewriting
//! the parsed tree with the kind of value that each dot and variable holds:
//!
//! * an unknown function or variable is an error at load;
//! * a field that the data does not have stops the run (in a map it is `<no value>`);
//! * methods of a moment become calls;
//! * the result of each function, and each `{{template}}`, is counted: a run ends when it has made too much;
//! * `index` of a missing key is the empty string, and `{{template "x"}}` passes nothing.
//!
//! Known difference: `{{.}}`, the data as a whole, prints as a map.

mod kinds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use gotmpl::parse::{ListNode, Node, Parser};
use gotmpl::{Template, TemplateError, Value};
use kinds::{COUNTED, FAIL, NAME, NOTHING, Rewriter, TIME, ValueKind};
pub(crate) use kinds::{Fields, Used};

use super::time::{MethodResult, Time};

/// At most this many rounds of all `range`s together in one run.
const MAX_ROUNDS: u64 = 10_000;
/// At most this many bytes in a template.
const MAX_SOURCE: usize = 16 << 10;
/// Functions may make at most this many bytes in one run: a local user may influence the size by the names of processes.
const MAX_MADE: usize = 256 << 10;
/// Bytes that each call counts in addition to its text.
const CALL_BYTES: usize = 64;

/// A compiled template.
pub(crate) struct Program {
    template: Template,
    pub(crate) used: Used,
    /// Bytes made in the present run.
    made: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("templates", &self.template.templates())
            .finish()
    }
}

/// Parses `source`; returns the main tree unchanged.
pub(crate) fn parse(source: &str) -> Result<ListNode, String> {
    if source.len() > MAX_SOURCE {
        return Err(format!("it is longer than {MAX_SOURCE} bytes"));
    }
    let main = |source: &str| {
        let parser = Parser::with_name(Some(NAME), source, "{{", "}}").map_err(go_text)?;
        parser.parse().map(|(tree, _)| tree).map_err(go_text)
    };
    let tree = main(source)?;
    // The parser stops without an error at an `end` that closes nothing. A text appended to the source shows whether it got to
    // the end.
    let whole = main(&format!("{source}$"))?;
    match whole.nodes.last() {
        Some(Node::Text(text)) if text.text.ends_with('$') => Ok(tree),
        _ => Err(format!(
            "template: {NAME}:1: unexpected {{{{end}}}} or {{{{else}}}}"
        )),
    }
}

impl Program {
    /// Compiles `source` for data with `fields`.
    ///
    /// # Errors
    /// Bad syntax, unknown functions and variables, in Go's words where they are known.
    pub(crate) fn compile(source: &str, fields: Fields) -> Result<Self, String> {
        let main = parse(source)?;
        let parsed = Template::new(NAME).parse(source).map_err(go_text)?;
        let mut trees: BTreeMap<String, ListNode> = BTreeMap::new();
        for name in parsed.templates() {
            trees.extend(
                parsed
                    .lookup(name)
                    .map(|tree| (name.to_owned(), tree.clone())),
            );
        }
        trees.insert(NAME.to_owned(), main);
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut template = Template::new(NAME)
            .max_range_iters(MAX_ROUNDS)
            .func(FAIL, |args| {
                Err(TemplateError::Exec(
                    args.first().map(Value::to_string).unwrap_or_default(),
                ))
            })
            .func(NOTHING, |_| Ok(Value::Nil))
            .func(TIME, move |args| ask_time(args, fields.time))
            .func(COUNTED, move |args| counted(args, &counter))
            .func("index", index);
        let (trees, used) = rewrite(&trees, fields)?;
        for (name, tree) in trees {
            template = template.add_parse_tree(&name, tree);
        }
        Ok(Program {
            template,
            used,
            made,
        })
    }

    /// Runs the template on `data`. Text written before an error stays.
    pub(crate) fn run(&self, data: &Value, out: &mut impl std::fmt::Write) -> Result<(), String> {
        self.made.store(0, Relaxed);
        self.template
            .execute_template_fmt(out, NAME, data)
            .map_err(|error| error.to_string())
    }
}

/// Rewrites all trees. The kind of dot in a defined template is known only from its callers, so this is repeated until nothing
/// new is learnt; a kind changes at most twice.
fn rewrite(
    trees: &BTreeMap<String, ListNode>,
    fields: Fields,
) -> Result<(Vec<(String, ListNode)>, Used), String> {
    let mut kinds = BTreeMap::from([(NAME.to_owned(), ValueKind::Root)]);
    loop {
        let mut rewriter = Rewriter::new(kinds.clone(), fields);
        let mut rewritten = Vec::new();
        // Templates that are never called come last, only to find their errors: their own calls are ignored.
        let (called, idle): (Vec<_>, Vec<_>) = trees
            .iter()
            .partition(|(name, _)| kinds.contains_key(*name));
        for (name, tree) in &called {
            rewritten.push(((*name).clone(), rewriter.tree(name, tree)?));
        }
        if rewriter.called == kinds {
            for (name, tree) in &idle {
                rewritten.push(((*name).clone(), rewriter.tree(name, tree)?));
            }
            return Ok((rewritten, rewriter.used));
        }
        kinds = rewriter.called;
    }
}

/// An error as Go writes it: with the line, without the column.
fn go_text(error: TemplateError) -> String {
    match error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            format!("template: {NAME}:{line}: {message}")
        }
        other => format!("template: {NAME}: {other}"),
    }
}

/// `index`, except that a missing key of a map gives the zero value of its strings, the empty string.
fn index(args: &[Value]) -> gotmpl::Result<Value> {
    let Some((first, keys)) = args.split_first() else {
        return Err(TemplateError::ArgCount {
            name: "index".to_owned(),
            expected: 1,
            got: 0,
        });
    };
    keys.iter()
        .try_fold(first.clone(), |value, key| match (&value, key) {
            (Value::Map(map), Value::String(key)) => {
                Ok(map.get(key).cloned().unwrap_or_else(|| string("")))
            }
            _ => value.index(key),
        })
}

/// `.time method moment [layout]`; the moment is the field `field`.
fn ask_time(args: &[Value], field: &str) -> gotmpl::Result<Value> {
    let texts: Option<Vec<&str>> = args.iter().map(Value::as_str).collect();
    let answer = match texts.as_deref() {
        Some([method, moment]) => Time::parse(moment).and_then(|time| time.ask(method, None)),
        Some([method, moment, layout]) => {
            Time::parse(moment).and_then(|time| time.ask(method, Some(layout)))
        }
        _ => None,
    };
    match answer {
        Some(MethodResult::Number(number)) => Ok(Value::Int(number)),
        Some(MethodResult::Text(text)) => Ok(string(&text)),
        Some(MethodResult::Truth(truth)) => Ok(Value::Bool(truth)),
        None => {
            let cause = format!("wrong arguments to a method of .{field}");
            Err(TemplateError::Exec(cause))
        }
    }
}

/// Returns its argument, unless this run has made too many bytes.
fn counted(args: &[Value], made: &AtomicUsize) -> gotmpl::Result<Value> {
    let value = args.first().cloned().unwrap_or(Value::Nil);
    let bytes = CALL_BYTES + value.as_str().map_or(0, str::len);
    if made.fetch_add(bytes, Relaxed) + bytes > MAX_MADE {
        let cause = format!("its functions make more than {MAX_MADE} bytes");
        return Err(TemplateError::Exec(cause));
    }
    Ok(value)
}

pub(crate) fn string(text: &str) -> Value {
    Value::String(Arc::from(text))
}
