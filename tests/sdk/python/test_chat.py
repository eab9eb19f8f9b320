"""What the official Python SDK does, through the gateway."""

import json

import pytest
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Say the magic word: abracadabra"}]

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


class Forecast(BaseModel):
    city: str
    days: int


def test_a_chat_is_answered(client, model):
    completion = client.chat.completions.create(model=model, messages=HELLO)

    assert "abracadabra" in completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens > 0


def test_a_stream_arrives_in_pieces(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))

    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert len(pieces) > 3
    assert "abracadabra" in "".join(pieces)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_streaming_helper_accumulates_the_answer(client, model):
    with client.chat.completions.stream(model=model, messages=HELLO) as stream:
        completion = stream.get_final_completion()

    assert "abracadabra" in completion.choices[0].message.content


def test_a_tool_call_makes_the_round_trip(client, model):
    asked = client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER])

    call = asked.choices[0].message.tool_calls[0]
    assert asked.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)

    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    messages = [*HELLO, asked.choices[0].message, result]
    answered = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])

    assert "21 degrees" in answered.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_is_shown_and_goes_on_after_a_tool(client, model, stream):
    def ask(messages):
        request = {"model": model, "messages": messages, "tools": [WEATHER], "reasoning_effort": "low"}
        if not stream:
            return client.chat.completions.create(**request).choices[0].message
        with client.chat.completions.stream(**request) as chunks:
            return chunks.get_final_completion().choices[0].message

    asked = ask(HELLO)
    result = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "21 degrees"}
    answered = ask([*HELLO, asked.to_dict(), result])

    assert "21 degrees" in answered.content
    if model in ("claude", "gemini"):
        # The simulated providers refuse what was not thought by them, as the real ones do.
        assert "The user wants something" in asked.reasoning_content
        assert "The user wants something" in answered.reasoning_content


def test_a_tool_call_is_streamed_in_pieces(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER], stream=True))

    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    arguments = [call.function.arguments for call in calls if call.function.arguments]
    assert calls[0].id
    assert calls[0].function.name == "weather"
    # Gemini sends a call as a whole.
    assert len(arguments) > (model != "gemini")
    assert json.loads("".join(arguments))["days"] == 1
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_an_answer_has_the_structure_that_was_asked_for(client, model):
    completion = client.chat.completions.parse(model=model, messages=HELLO, response_format=Forecast)

    assert isinstance(completion.choices[0].message.parsed, Forecast)


def test_usage_ends_a_stream_that_asks_for_it(client, model):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))

    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_that_does_not_ask_gets_no_usage(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))

    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_an_abort_ends_the_request_at_once(client, access_line):
    # At 200 ms a word, the whole answer would take 20 s.
    messages = [{"role": "user", "content": "word " * 100}]
    raw = client.chat.completions.with_raw_response.create(model="paced", messages=messages, stream=True)
    with raw.parse() as stream:
        next(iter(stream))

    access_line(raw.headers["x-request-id"], seconds=3)
    assert client.chat.completions.create(model="chat", messages=HELLO).choices


def test_a_failing_backend_is_not_noticed(client):
    completion = client.chat.completions.create(model="failover", messages=HELLO)

    assert "Hello from good" in completion.choices[0].message.content


def test_a_failing_backend_is_not_noticed_in_a_stream(client):
    chunks = list(client.chat.completions.create(model="failover", messages=HELLO, stream=True))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "Hello from good" in text


def test_a_provider_is_asked_for_by_name(client):
    completion = client.chat.completions.create(model="failover", messages=HELLO, extra_body={"backend": "good"})

    assert "Hello from good" in completion.choices[0].message.content


def test_the_models_are_listed(client):
    names = [model.id for model in client.models.list()]

    assert names == ["azure", "broken", "chat", "claude", "failover", "gemini", "limited", "limited-stream", "paced", "strict"]


def test_a_model_is_retrieved(client):
    model = client.models.retrieve("chat")

    assert (model.id, model.object, model.owned_by) == ("chat", "model", "berry-api")


def test_a_restricted_user_is_shown_only_what_it_may_use(restricted):
    assert [model.id for model in restricted.models.list()] == ["chat"]
