"""What the official Python SDK does besides chats."""


def test_texts_are_embedded(client):
    for model in ("chat", "gemini"):
        # The SDK asks for base64 and decodes it.
        answer = client.embeddings.create(model=model, input=["one", "two"])

        assert [len(item.embedding) for item in answer.data] == [3, 3]
        assert answer.data[0].embedding[1:] == [0.5, -0.25]


def test_a_response_is_made_asked_for_and_deleted(client):
    made = client.responses.create(model="chat", input="abracadabra")

    assert "abracadabra" in made.output_text
    assert client.responses.retrieve(made.id).id == made.id
    assert client.responses.input_items.list(made.id).data == []
    client.responses.delete(made.id)


def test_a_response_is_streamed(client):
    with client.responses.stream(model="chat", input="abracadabra") as stream:
        kinds = [event.type for event in stream]

    assert kinds[0] == "response.created"
    assert kinds.count("response.output_text.delta") > 3
    assert kinds[-1] == "response.completed"


def test_a_recording_is_transcribed(client):
    heard = client.audio.transcriptions.create(model="chat", file=("a.mp3", b"\x00\x01\r\n--", "audio/mpeg"))

    assert heard.text == "heard by sim-1"


def test_a_text_is_spoken(client):
    spoken = client.audio.speech.create(model="chat", voice="alloy", input="hello")

    assert spoken.read() == b"\xff\xfbsound"


def test_a_picture_is_made_and_changed(client):
    made = client.images.generate(model="chat", prompt="a berry")
    changed = client.images.edit(model="chat", prompt="two berries", image=("a.png", b"png", "image/png"))

    assert made.data[0].b64_json and changed.data[0].b64_json


def test_a_text_is_completed_and_moderated(client):
    assert client.completions.create(model="chat", prompt="Once").choices[0].text.startswith("Once")
    assert not client.moderations.create(model="chat", input="hello").results[0].flagged
