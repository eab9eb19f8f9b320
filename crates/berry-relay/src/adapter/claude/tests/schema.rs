//! Schemas that structured outputs do not take.

use serde_json::{Value, json};

use super::super::CLAUDE;

/// Returns the schema that the answer is held to; none where a tool has to be forced instead.
fn held(schema: &Value) -> Option<Value> {
    let body = json!({
        "messages": [{"role": "user", "content": "hello"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    });
    let translated = CLAUDE.request(body.to_string().as_bytes(), "claude-sonnet-4-5");
    let translated = translated.unwrap();
    let format = translated.body.pointer("/output_config/format/schema");
    assert_eq!(translated.reading.text_from_tool, format.is_none());
    format.cloned()
}

fn with_member(member: &Value) -> Value {
    json!({"type": "object", "properties": {"member": member}})
}

#[test]
fn limits_become_words() {
    for (member, expected) in [
        (
            json!({"type": "integer", "minimum": 1, "maximum": 6}),
            json!({"type": "integer", "description": "Must satisfy {\"minimum\":1,\"maximum\":6}."}),
        ),
        (
            json!({"type": "string", "description": "A code", "pattern": "^a", "format": "email"}),
            json!({
                "type": "string",
                "description": "A code\nMust satisfy {\"pattern\":\"^a\"}.",
                "format": "email",
            }),
        ),
        (
            json!({"type": "string", "format": "semver"}),
            json!({"type": "string", "description": "Must satisfy {\"format\":\"semver\"}."}),
        ),
        (
            json!({"type": "array", "items": {"oneOf": [{"const": 1}]}, "minItems": 3}),
            json!({
                "type": "array",
                "items": {"anyOf": [{"const": 1}]},
                "minItems": 1,
                "description": "Must satisfy {\"minItems\":3}.",
            }),
        ),
        (
            json!({"allOf": [{"type": "string"}], "$schema": "x"}),
            json!({"anyOf": [{"type": "string"}]}),
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"type": "object", "additionalProperties": false}),
        ),
        (
            json!({"type": ["object", "null"], "properties": {}}),
            json!({"type": ["object", "null"], "properties": {}, "additionalProperties": false}),
        ),
    ] {
        let schema = held(&with_member(&member)).unwrap();

        assert_eq!(schema["properties"]["member"], expected);
    }
}

#[test]
fn a_schema_that_would_mean_something_else_is_not_held() {
    let chain: serde_json::Map<String, Value> = (0..40)
        .map(|n| {
            (
                format!("d{n}"),
                json!({"$ref": format!("#/$defs/d{}", n + 1)}),
            )
        })
        .collect();
    for schema in [
        json!({"type": "array", "items": {}}),
        with_member(&json!({"type": "object", "additionalProperties": {"type": "string"}})),
        with_member(&json!({"type": "object", "additionalProperties": true})),
        with_member(&json!({"type": "object", "patternProperties": {"^a": {}}})),
        with_member(&json!(true)),
        with_member(&json!({})),
        with_member(&json!({"type": "object"})),
        with_member(&json!({"properties": {"a": {"type": "string"}}})),
        with_member(&json!({"type": "object", "properties": {}, "anyOf": [{"type": "object"}]})),
        with_member(&json!({"allOf": [{"type": "string"}, {"minLength": 1}]})),
        with_member(&json!({"anyOf": [{"type": "string"}], "oneOf": [{"type": "string"}]})),
        with_member(&json!({"$ref": "#"})),
        with_member(&json!({"$ref": "https://example.com/schema"})),
        with_member(&json!({"$ref": "#/$defs/missing"})),
        json!({
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}},
        }),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": chain}),
    ] {
        assert_eq!(held(&schema), None, "{schema}");
    }
}

#[test]
fn definitions_that_are_used_often_are_looked_at_once() {
    let mut definitions = serde_json::Map::new();
    for n in 0..15 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        let both = json!({"type": "object", "properties": {"a": next, "b": next}});
        definitions.insert(format!("d{n}"), both);
    }
    definitions.insert("d15".into(), json!({"type": "string"}));
    let schema = json!({
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "$defs": definitions,
    });

    assert!(held(&schema).is_some());
}
