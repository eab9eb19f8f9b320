"""An agent of OpenAI's framework, whose model is behind the gateway."""

import asyncio
import os

import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from pydantic import BaseModel

set_tracing_disabled(True)


class Forecast(BaseModel):
    city: str
    days: int


@function_tool
def weather(city: str, days: int) -> str:
    """Tells the weather."""
    return f"21 degrees for {days} days"


@pytest.fixture
def served(model):
    """The model as agents use it."""
    client = openai.AsyncOpenAI(
        base_url=os.environ["BERRY_BASE_URL"], api_key=os.environ["BERRY_TOKEN"], max_retries=0, timeout=30
    )
    return OpenAIChatCompletionsModel(model=model, openai_client=client)


def test_an_agent_calls_its_tool_and_answers(served):
    agent = Agent(name="forecaster", instructions="Tell the weather.", tools=[weather], model=served)

    result = asyncio.run(Runner.run(agent, "How will it be?"))

    assert "21 degrees for 1 days" in result.final_output


def test_an_agent_calls_its_tool_in_a_stream(served):
    agent = Agent(name="forecaster", instructions="Tell the weather.", tools=[weather], model=served)

    async def run():
        result = Runner.run_streamed(agent, "How will it be?")
        events = [event.type async for event in result.stream_events()]
        return events, result.final_output

    events, output = asyncio.run(run())

    assert events.count("raw_response_event") > 3
    assert "21 degrees for 1 days" in output


def test_an_agent_answers_in_a_structure(served):
    agent = Agent(name="forecaster", output_type=Forecast, model=served)

    result = asyncio.run(Runner.run(agent, "How will it be?"))

    assert isinstance(result.final_output, Forecast)
