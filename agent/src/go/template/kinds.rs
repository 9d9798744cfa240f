//! The kind of value at each place of a template, and the rewriting that follows from it. Part of [`super`].

use std::collections::{BTreeMap, BTreeSet};

use gotmpl::parse::{
    BranchNode, CommandNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr, TemplateNode,
};

use super::super::time::METHODS;

/// The name of the template in Go's errors; process-exporter uses it.
pub(super) const NAME: &str = "cmdname";
/// Functions that no template can call, because their names are no identifiers.
pub(super) const FAIL: &str = ".fail";
pub(super) const NOTHING: &str = ".nothing";
pub(super) const TIME: &str = ".time";
pub(super) const COUNTED: &str = ".counted";

/// The fields of the data that a template is compiled for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// Their names.
    pub(crate) names: &'static [&'static str],
    /// The field with a moment, which is in the data as the text of a [`Time`](super::super::time::Time).
    pub(crate) time: &'static str,
    /// The field with a map from text to text.
    pub(crate) map: &'static str,
}

/// Go's own functions; there are no others.
const FUNCTIONS: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "slice", "urlquery",
];

/// The knowledge about a value before the template runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// The data: its fields are known.
    Root,
    /// A moment: fields are its methods.
    Time,
    /// Any other value, or values of several kinds: left to the engine.
    Other,
}

/// The fields that a template uses.
#[derive(Debug, Default)]
pub(crate) struct Used {
    /// Fields that the data does not have, each once.
    pub(crate) unknown: BTreeSet<String>,
    /// Keys of the map, each once.
    pub(crate) keys: BTreeSet<String>,
}

type Result<T> = std::result::Result<T, String>;

/// Walks trees and rewrites them.
#[derive(Debug)]
pub(super) struct Rewriter {
    fields: Fields,
    /// Kind of dot that each template gets, as known so far.
    known: BTreeMap<String, ValueKind>,
    /// The same, with the additions of the calls seen so far.
    pub(super) called: BTreeMap<String, ValueKind>,
    pub(super) used: Used,
    variables: Vec<(SmolStr, ValueKind)>,
}

/// A rewritten expression: a value, or a call that may take further arguments.
enum Rewritten {
    Value(Expr, ValueKind),
    Call(Vec<Expr>),
}

impl Rewriter {
    pub(super) fn new(known: BTreeMap<String, ValueKind>, fields: Fields) -> Self {
        Rewriter {
            fields,
            called: known.clone(),
            known,
            used: Used::default(),
            variables: Vec::new(),
        }
    }

    /// A copy of the template `name`, rewritten.
    pub(super) fn tree(&mut self, name: &str, tree: &ListNode) -> Result<ListNode> {
        let dot = self.known.get(name).copied().unwrap_or(ValueKind::Other);
        self.variables = vec![("$".into(), dot)];
        let mut tree = tree.clone();
        self.list(&mut tree, dot)?;
        Ok(tree)
    }

    fn list(&mut self, list: &mut ListNode, dot: ValueKind) -> Result<()> {
        list.nodes
            .iter_mut()
            .try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &mut Node, dot: ValueKind) -> Result<()> {
        let outer = self.variables.len();
        match node {
            Node::Text(_) | Node::Define(_) | Node::Break(_) | Node::Continue(_) => {}
            Node::List(list) => self.list(list, dot)?,
            Node::Action(action) => {
                self.pipe(&mut action.pipe, dot)?;
                // A variable declared here stays valid to the end of the list that holds the action.
                return Ok(());
            }
            Node::Template(call) => self.call(call, dot)?,
            Node::If(branch) => {
                self.pipe(&mut branch.pipe, dot)?;
                self.bodies(branch, dot, dot)?;
            }
            Node::With(branch) => {
                let kind = self.pipe(&mut branch.pipe, dot)?;
                self.bodies(branch, kind, dot)?;
            }
            Node::Range(branch) => {
                self.pipe(&mut branch.pipe, dot)?;
                // Its variables hold elements, not the list.
                self.variables[outer..]
                    .iter_mut()
                    .for_each(|(_, kind)| *kind = ValueKind::Other);
                self.bodies(branch, ValueKind::Other, dot)?;
            }
        }
        self.variables.truncate(outer);
        Ok(())
    }

    fn bodies(&mut self, branch: &mut BranchNode, dot: ValueKind, outer: ValueKind) -> Result<()> {
        let declared = self.variables.len();
        self.list(&mut branch.body, dot)?;
        self.variables.truncate(declared);
        branch
            .else_body
            .as_mut()
            .map_or(Ok(()), |otherwise| self.list(otherwise, outer))
    }

    fn call(&mut self, call: &mut TemplateNode, dot: ValueKind) -> Result<()> {
        let kind = match &mut call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => {
                call.pipe = Some(single(call.pos, vec![name_expr(call.pos, NOTHING)]));
                ValueKind::Other
            }
        };
        if let Some(pipe) = &mut call.pipe {
            pipe.commands.push(counted(call.pos));
        }
        let known = self.called.get(call.name.as_str());
        let merged = known.map_or(kind, |known| known.or_other(kind));
        self.called.insert(call.name.to_string(), merged);
        Ok(())
    }

    fn pipe(&mut self, pipe: &mut PipeNode, dot: ValueKind) -> Result<ValueKind> {
        let mut kind = ValueKind::Other;
        let mut commands = Vec::with_capacity(pipe.commands.len());
        for mut command in std::mem::take(&mut pipe.commands) {
            kind = self.command(&mut command, dot)?;
            let is_call = matches!(command.args.first(), Some(Expr::Identifier(..)));
            commands.push(command);
            if is_call {
                commands.push(counted(pipe.pos));
            }
        }
        pipe.commands = commands;
        for name in &pipe.decl {
            let known = self
                .variables
                .iter_mut()
                .rev()
                .find(|(known, _)| known == name);
            match (pipe.is_assign, known) {
                (false, _) => self.variables.push((name.clone(), kind)),
                (true, Some((_, known))) => *known = known.or_other(kind),
                (true, None) => return Err(undefined(pipe.pos, name)),
            }
        }
        Ok(kind)
    }

    fn command(&mut self, command: &mut CommandNode, dot: ValueKind) -> Result<ValueKind> {
        let mut args = std::mem::take(&mut command.args).into_iter();
        let Some(first) = args.next() else {
            return Ok(ValueKind::Other);
        };
        let kind = match self.expression(first, dot)? {
            Rewritten::Value(value, kind) => {
                command.args.push(value);
                kind
            }
            Rewritten::Call(call) => {
                command.args = call;
                ValueKind::Other
            }
        };
        for argument in args {
            let value = self.value(argument, dot)?;
            command.args.push(value.0);
        }
        Ok(kind)
    }

    fn value(&mut self, expression: Expr, dot: ValueKind) -> Result<(Expr, ValueKind)> {
        let pos = expression.pos();
        Ok(match self.expression(expression, dot)? {
            Rewritten::Value(value, kind) => (value, kind),
            Rewritten::Call(call) => (Expr::Pipe(pos, single(pos, call)), ValueKind::Other),
        })
    }

    fn expression(&mut self, expression: Expr, dot: ValueKind) -> Result<Rewritten> {
        Ok(match expression {
            Expr::Dot(pos) => Rewritten::Value(Expr::Dot(pos), dot),
            Expr::Field(pos, fields) => self.path(Expr::Dot(pos), dot, &fields),
            Expr::Variable(pos, name, fields) => {
                let known = self
                    .variables
                    .iter()
                    .rev()
                    .find(|(known, _)| *known == name);
                let kind = known.ok_or_else(|| undefined(pos, &name))?.1;
                self.path(Expr::Variable(pos, name, Vec::new()), kind, &fields)
            }
            Expr::Chain(pos, inner, fields) if matches!(*inner, Expr::Identifier(..)) => {
                known_function(&inner)?;
                Rewritten::Value(Expr::Chain(pos, inner, fields), ValueKind::Other)
            }
            Expr::Chain(_, inner, fields) => {
                let (inner, kind) = self.value(*inner, dot)?;
                self.path(inner, kind, &fields)
            }
            Expr::Pipe(pos, mut pipe) => {
                let kind = self.pipe(&mut pipe, dot)?;
                Rewritten::Value(Expr::Pipe(pos, pipe), kind)
            }
            Expr::Identifier(..) => {
                known_function(&expression)?;
                Rewritten::Value(expression, ValueKind::Other)
            }
            literal @ (Expr::String(..) | Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_)) => {
                Rewritten::Value(literal, ValueKind::Other)
            }
        })
    }
}

impl Rewriter {
    /// Rewrites the fields of a value whose kind is known.
    fn path(&mut self, base: Expr, kind: ValueKind, fields: &[SmolStr]) -> Rewritten {
        let Some((first, rest)) = fields.split_first() else {
            return Rewritten::Value(base, kind);
        };
        let pos = base.pos();
        match kind {
            ValueKind::Root if self.fields.names.contains(&first.as_str()) => {
                let kind = if first == self.fields.time {
                    ValueKind::Time
                } else {
                    ValueKind::Other
                };
                if first == self.fields.map
                    && let [key, ..] = rest
                {
                    self.used.keys.insert(key.to_string());
                }
                self.path(with_fields(base, std::slice::from_ref(first)), kind, rest)
            }
            ValueKind::Root => {
                self.used.unknown.insert(first.to_string());
                fail(
                    pos,
                    &format!("can't evaluate field {first}: there is no such variable"),
                )
            }
            // The time is in UTC already.
            ValueKind::Time if first == "UTC" => self.path(base, kind, rest),
            ValueKind::Time if METHODS.contains(&first.as_str()) => {
                let call = vec![
                    name_expr(pos, TIME),
                    Expr::String(pos, first.as_str().into()),
                    base,
                ];
                match rest {
                    [] => Rewritten::Call(call),
                    _ => Rewritten::Value(
                        with_fields(Expr::Pipe(pos, single(pos, call)), rest),
                        ValueKind::Other,
                    ),
                }
            }
            ValueKind::Time => fail(
                pos,
                &format!(
                    "can't evaluate field {first}: .{} has no such method here",
                    self.fields.time
                ),
            ),
            ValueKind::Other => Rewritten::Value(with_fields(base, fields), ValueKind::Other),
        }
    }
}

impl ValueKind {
    fn or_other(self, other: ValueKind) -> ValueKind {
        if self == other {
            self
        } else {
            ValueKind::Other
        }
    }
}

fn fail(pos: Pos, what: &str) -> Rewritten {
    Rewritten::Call(vec![name_expr(pos, FAIL), Expr::String(pos, what.into())])
}

fn with_fields(base: Expr, more: &[SmolStr]) -> Expr {
    let joined = |fields: Vec<SmolStr>| fields.into_iter().chain(more.iter().cloned()).collect();
    match base {
        Expr::Dot(pos) => Expr::Field(pos, more.to_vec()),
        Expr::Field(pos, fields) => Expr::Field(pos, joined(fields)),
        Expr::Variable(pos, name, fields) => Expr::Variable(pos, name, joined(fields)),
        other => Expr::Chain(other.pos(), Box::new(other), more.to_vec()),
    }
}

fn single(pos: Pos, args: Vec<Expr>) -> PipeNode {
    PipeNode {
        pos,
        decl: Vec::new(),
        commands: vec![CommandNode { pos, args }],
        is_assign: false,
    }
}

/// The command at the end of a pipe that counts the pipe's result.
fn counted(pos: Pos) -> CommandNode {
    CommandNode {
        pos,
        args: vec![name_expr(pos, COUNTED)],
    }
}

fn name_expr(pos: Pos, name: &'static str) -> Expr {
    Expr::Identifier(pos, SmolStr::new_static(name))
}

fn known_function(expression: &Expr) -> Result<()> {
    match expression {
        Expr::Identifier(pos, name) if !FUNCTIONS.contains(&name.as_str()) => Err(format!(
            "template: {NAME}:{}: function {name:?} not defined",
            pos.line
        )),
        _ => Ok(()),
    }
}

fn undefined(pos: Pos, name: &str) -> String {
    format!("template: {NAME}:{}: undefined variable {name:?}", pos.line)
}
