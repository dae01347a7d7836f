//! The `filter` parameter of lists.
//!
//! Two languages, as documented. The plain one: `name = x`, `labels.a:*`, `status != RUNNING`, numbers with `<` and `>`,
//! joined by `AND`, `OR`, `NOT` (or `-`), parentheses, and by standing beside one another (`(a = 1) (b = 2)`, which is
//! AND and binds tighter than OR). The other one has `eq` and `ne` with regular expressions that must match the whole
//! value, as gcloud sends them. The two are not mixed. Anything else is refused.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use super::errors::Refusal;

/// A filter that was understood.
#[derive(Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Is { path: Vec<String>, test: Test },
}

/// One comparison.
#[derive(Debug)]
pub(super) enum Test {
    Equals(String),
    Differs(String),
    Has(String),
    Present,
    Order(&'static [Ordering], String),
    Matches(Regex),
    MatchesNot(Regex),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Minus,
    Operator(&'static str),
    Word(String),
    Quoted(String),
}

impl Filter {
    /// Reads a filter.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let refused = || Refusal::invalid("filter", text, "Invalid list filter expression.");
        let tokens = tokens(text).ok_or_else(refused)?;
        let mut reader = Reader { tokens: &tokens, at: 0, regular: None };
        let filter = reader.any().filter(|_| reader.at == tokens.len());
        filter.ok_or_else(refused)
    }

    /// Whether nothing but this member is looked at.
    pub(super) fn is_only_about(&self, member: &str) -> bool {
        match self {
            Filter::All(parts) | Filter::Any(parts) => parts.iter().all(|part| part.is_only_about(member)),
            Filter::Not(part) => part.is_only_about(member),
            Filter::Is { path, .. } => matches!(path.as_slice(), [only] if only == member),
        }
    }

    /// The first path of which the API has no such member.
    pub(super) fn unknown(&self, known: &dyn Fn(&[String]) -> bool) -> Option<String> {
        match self {
            Filter::All(parts) | Filter::Any(parts) => parts.iter().find_map(|part| part.unknown(known)),
            Filter::Not(part) => part.unknown(known),
            Filter::Is { path, .. } => (!known(path)).then(|| path.join(".")),
        }
    }

    /// Whether a resource fits.
    pub(super) fn fits(&self, resource: &Value) -> bool {
        match self {
            Filter::All(parts) => parts.iter().all(|part| part.fits(resource)),
            Filter::Any(parts) => parts.iter().any(|part| part.fits(resource)),
            Filter::Not(part) => !part.fits(resource),
            Filter::Is { path, test } => {
                let mut values = Vec::new();
                collect(resource, path, &mut values);
                test.fits(&values)
            }
        }
    }
}

impl Test {
    fn fits(&self, values: &[&Value]) -> bool {
        let texts = || values.iter().filter_map(|value| plain(value));
        match self {
            Test::Equals(wanted) => texts().any(|text| text == *wanted),
            Test::Differs(wanted) => !texts().any(|text| text == *wanted),
            Test::Present => values.iter().any(|value| !value.is_null()),
            Test::Has(wanted) => values.iter().any(|value| has(value, wanted)),
            Test::Order(allowed, wanted) => texts().any(|text| allowed.contains(&compare(&text, wanted))),
            Test::Matches(regex) => texts().any(|text| regex.is_match(&text)),
            Test::MatchesNot(regex) => !texts().any(|text| regex.is_match(&text)),
        }
    }
}

/// Everything that a path leads to; lists are gone through.
fn collect<'v>(value: &'v Value, path: &[String], found: &mut Vec<&'v Value>) {
    match (value, path) {
        (Value::Array(elements), _) => elements.iter().for_each(|element| collect(element, path, found)),
        (_, []) => found.push(value),
        (Value::Object(members), [first, rest @ ..]) => {
            if let Some(member) = members.get(first) {
                collect(member, rest, found);
            }
        }
        _ => {}
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// `:` finds a part of a text, a key of a map, and is `=` for the rest.
fn has(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(&wanted.to_lowercase()),
        Value::Object(members) => members.contains_key(wanted),
        other => plain(other).is_some_and(|text| text == wanted),
    }
}

fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other),
        _ => one.cmp(other),
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let operator = ["!=", "<=", ">=", "=", "<", ">", ":"].into_iter().find(|operator| rest.starts_with(operator));
        if first == '(' {
            found.push(Token::Open);
            rest = &rest[1..];
        } else if first == ')' {
            found.push(Token::Close);
            rest = &rest[1..];
        } else if let Some(operator) = operator {
            found.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
        } else if first == '"' || first == '\'' {
            let (quoted, after) = quoted(rest, first)?;
            found.push(Token::Quoted(quoted));
            rest = after;
        } else if first == '-' && matches!(found.last(), None | Some(Token::Open | Token::Close)) {
            found.push(Token::Minus);
            rest = &rest[1..];
        } else {
            // After eq and ne a bare expression may hold anything but blanks; elsewhere the signs end a word.
            let regular = matches!(found.last(), Some(Token::Word(word)) if word == "eq" || word == "ne");
            let end = if regular {
                bare_expression(rest)
            } else {
                rest.find(|one: char| one.is_whitespace() || "()=<>!:\"'".contains(one)).unwrap_or(rest.len())
            };
            if end == 0 {
                return None;
            }
            found.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Some(found)
}

/// Up to a blank, or to the parenthesis that closes what was open before the expression.
fn bare_expression(rest: &str) -> usize {
    let mut depth = 0_u32;
    for (at, one) in rest.char_indices() {
        match one {
            '(' => depth += 1,
            ')' if depth == 0 => return at,
            ')' => depth -= 1,
            blank if blank.is_whitespace() => return at,
            _ => {}
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, one)) = characters.next() {
        match one {
            '\\' => {
                let (_, next) = characters.next()?;
                // Only quotes and backslashes are escaped; in a regular expression the rest is its own.
                if next != quote && next != '\\' {
                    text.push('\\');
                }
                text.push(next);
            }
            end if end == quote => return Some((text, &rest[at + 1..])),
            other => text.push(other),
        }
    }
    None
}

struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    /// Whether the filter is in the language of regular expressions; unknown before the first comparison.
    regular: Option<bool>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found == word)
    }

    fn any(&mut self) -> Option<Filter> {
        let mut parts = vec![self.all()?];
        while self.is_word("OR") {
            self.at += 1;
            parts.push(self.all()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Filter::Any(parts)) }
    }

    fn all(&mut self) -> Option<Filter> {
        let mut parts = vec![self.one()?];
        loop {
            match self.peek() {
                None | Some(Token::Close) => break,
                Some(Token::Word(word)) if word == "OR" => break,
                Some(Token::Word(word)) if word == "AND" => {
                    self.at += 1;
                    parts.push(self.one()?);
                }
                Some(_) => parts.push(self.one()?),
            }
        }
        if parts.len() == 1 { parts.pop() } else { Some(Filter::All(parts)) }
    }

    fn one(&mut self) -> Option<Filter> {
        match self.peek()? {
            Token::Minus => {
                self.at += 1;
                Some(Filter::Not(Box::new(self.one()?)))
            }
            Token::Word(word) if word == "NOT" => {
                self.at += 1;
                Some(Filter::Not(Box::new(self.one()?)))
            }
            Token::Open => {
                self.at += 1;
                let inner = self.any()?;
                (self.peek()? == &Token::Close).then(|| {
                    self.at += 1;
                    inner
                })
            }
            Token::Word(_) => self.comparison(),
            Token::Close | Token::Operator(_) | Token::Quoted(_) => None,
        }
    }

    fn comparison(&mut self) -> Option<Filter> {
        let Token::Word(field) = self.peek()?.clone() else { return None };
        let path: Vec<String> = field.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) || !field.starts_with(|first: char| first.is_ascii_lowercase()) {
            return None;
        }
        self.at += 1;
        let operator = match self.peek()?.clone() {
            Token::Operator(operator) => operator,
            Token::Word(word) if word == "eq" => "eq",
            Token::Word(word) if word == "ne" => "ne",
            Token::Open | Token::Close | Token::Minus | Token::Word(_) | Token::Quoted(_) => return None,
        };
        self.at += 1;
        let regular = matches!(operator, "eq" | "ne");
        if *self.regular.get_or_insert(regular) != regular {
            return None;
        }
        let (value, bare) = match self.peek()?.clone() {
            Token::Word(word) => (word, true),
            Token::Quoted(text) => (text, false),
            Token::Open | Token::Close | Token::Minus | Token::Operator(_) => return None,
        };
        self.at += 1;
        let whole = || Regex::new(&format!("^(?:{value})$")).ok();
        let test = match operator {
            "=" => Test::Equals(value),
            "!=" => Test::Differs(value),
            ":" if bare && value == "*" => Test::Present,
            ":" => Test::Has(value),
            "<" => Test::Order(&[Ordering::Less], value),
            ">" => Test::Order(&[Ordering::Greater], value),
            "<=" => Test::Order(&[Ordering::Less, Ordering::Equal], value),
            ">=" => Test::Order(&[Ordering::Greater, Ordering::Equal], value),
            "eq" => Test::Matches(whole()?),
            "ne" => Test::MatchesNot(whole()?),
            _ => return None,
        };
        Some(Filter::Is { path, test })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_choose() {
        let instance = json!({
            "name": "rh-abc-1",
            "status": "RUNNING",
            "sizeGb": "100",
            "labels": { "rehost-cluster": "c1", "empty": "" },
            "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a",
            "scheduling": { "automaticRestart": false },
            "disks": [{ "deviceName": "boot" }, { "deviceName": "home" }],
        });
        for (filter, fits) in [
            ("name = rh-abc-1", true),
            ("name=rh-abc-2", false),
            ("name=rh-*", false),
            ("name:abc", true),
            ("labels.rehost-cluster=c1", true),
            ("labels.rehost-cluster = \"c1\" AND status = RUNNING", true),
            ("labels.rehost-cluster:*", true),
            ("labels.empty:*", true),
            ("labels.other:*", false),
            ("labels.other != x", true),
            ("-labels.other:*", true),
            ("NOT (status = RUNNING)", false),
            ("(status = RUNNING) (name = rh-abc-1)", true),
            ("(status = STOPPING) OR (name = rh-abc-1)", true),
            ("status = STOPPING OR status = RUNNING name = no", false),
            ("(status = STOPPING OR status = RUNNING) AND name = rh-abc-1", true),
            ("scheduling.automaticRestart = false", true),
            ("sizeGb >= 100", true),
            ("sizeGb < 20", false),
            ("disks.deviceName = home", true),
            ("name eq rh-.*", true),
            ("name eq rh-", false),
            ("(name eq \"(rh-abc-1|other)\") (zone eq \".*us-central1-a\")", true),
            ("(name eq .*abc.*)", true),
            ("name ne \"rh-.*\"", false),
            ("name eq '.*\\babc\\b.*'", true),
        ] {
            assert_eq!(Filter::read(filter).unwrap().fits(&instance), fits, "{filter}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "",
            "name",
            "name =",
            "= x",
            "name ~ x",
            "(name = x",
            "name = x)",
            "name eq [",
            "name = 'x",
            "name == x",
            "name eq x AND status = RUNNING",
            "AND",
            "name = a OR",
            ".name = x",
        ] {
            assert!(Filter::read(wrong).is_err(), "{wrong}");
        }
    }
}
