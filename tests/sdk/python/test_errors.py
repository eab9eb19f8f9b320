"""What the official Python SDK raises when the gateway refuses or cannot answer."""

import openai
import pytest

HELLO = [{"role": "user", "content": "Hello"}]


def error_of(expected, client, **request):
    """Asks, and returns the exception after checking what all have in common."""
    with pytest.raises(expected) as caught:
        client.chat.completions.create(**{"model": "chat", "messages": HELLO} | request)
    # The SDK picks a class by status; a subclass would be another status.
    assert type(caught.value) is expected
    assert caught.value.request_id
    assert caught.value.body.keys() >= {"message", "type", "param", "code"}
    return caught.value


def test_an_unknown_token_is_an_authentication_error(stranger):
    assert error_of(openai.AuthenticationError, stranger).code == "invalid_api_key"


def test_an_unknown_token_may_not_list_models(stranger):
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_forbidden_model_is_a_permission_error(restricted):
    assert error_of(openai.PermissionDeniedError, restricted, model="paced").code == "model_access_denied"


def test_a_restricted_user_does_not_learn_which_models_exist(restricted):
    assert error_of(openai.PermissionDeniedError, restricted, model="no-such-model").code == "model_access_denied"


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found(client, stream):
    assert error_of(openai.NotFoundError, client, model="no-such-model", stream=stream).code == "model_not_found"


def test_an_unknown_model_cannot_be_retrieved(client):
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_an_unknown_backend_is_not_found(client):
    assert error_of(openai.NotFoundError, client, extra_body={"backend": "nobody"}).code == "backend_not_found"


@pytest.mark.parametrize(("model", "stream"), [("limited", False), ("limited-stream", True)])
def test_a_limited_provider_is_a_rate_limit_error(client, model, stream):
    error = error_of(openai.RateLimitError, client, model=model, stream=stream)

    assert int(error.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_the_provider_rejects_is_a_bad_request(client, stream):
    error_of(openai.BadRequestError, client, model="strict", stream=stream)


def test_a_malformed_request_is_a_bad_request(client):
    assert error_of(openai.BadRequestError, client, extra_body={"stream": "perhaps"}).param == "stream"


@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_provider_is_a_server_error(client, stream):
    error = error_of(openai.InternalServerError, client, model="broken", stream=stream)

    # Once its breaker is open there is nobody to ask: 503.
    assert error.status_code in (502, 503)
