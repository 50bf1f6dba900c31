"""One request per chat format that says as much as can be said at once, and small ones that bind."""

TOOL = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PNG = "iVBORw0KGgo="
MARK = {"cache_control": {"type": "ephemeral"}}

OPENAI_CHAT = {
    "model": "gpt-5",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "What is this?", **MARK},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Look it up.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"place": "x"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "look", "description": "Looks.", "parameters": TOOL, "strict": True},
        }
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "max_completion_tokens": 4000,
    "temperature": 0.5,
    "seed": 7,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "logit_bias": {"1": 2},
    "user": "u1",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "description": "A number.", "schema": SCHEMA, "strict": True},
    },
    "reasoning_effort": "high",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "verbosity": "low",
    "safe_prompt": True,
}
OPENAI_RESPONSES = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBERi0=",
                },
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "opaque"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"place": "x"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        {"role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "Hm."}]},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {"type": "function", "name": "look", "description": "Looks.", "parameters": TOOL, "strict": True}
    ],
    "parallel_tool_calls": False,
    "max_output_tokens": 4000,
    "top_p": 0.9,
    "user": "u1",
    "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "detailed"},
    "service_tier": "flex",
    "max_tool_calls": 3,
}
ANTHROPIC = {
    "model": "claude-opus-4-6",
    "max_tokens": 40000,
    "system": [{"type": "text", "text": "Be brief.", **MARK}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {
                    "type": "document",
                    "title": "Facts",
                    "source": {"type": "text", "media_type": "text/plain", "data": "Water is wet."},
                    "citations": {"enabled": True},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Look it up.", "signature": "sig"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"place": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "no cat"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                        },
                    ],
                    **MARK,
                },
                {"type": "text", "text": "And now?"},
            ],
        },
    ],
    "tools": [
        {
            "name": "look",
            "description": "Looks.",
            "input_schema": TOOL,
            "strict": True,
            "defer_loading": True,
            **MARK,
        }
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "metadata": {"user_id": "u1"},
    "service_tier": "standard_only",
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "What is this?"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}],
        },
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "look", "args": {"place": "x"}}, "thoughtSignature": "c2ln"}],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "look", "response": {"seen": "a cat", "sure": True}}},
                {"text": "And now?"},
            ],
        },
    ],
    "tools": [
        {"functionDeclarations": [{"name": "look", "description": "Looks.", "parametersJsonSchema": TOOL}]}
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
    "generationConfig": {
        "maxOutputTokens": 40000,
        "temperature": 0.5,
        "topK": 3,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "stopSequences": ["END"],
        "responseModalities": ["TEXT"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000},
    },
    "safetySettings": [{"category": "c", "threshold": "BLOCK_NONE"}],
    "labels": {"team": "a"},
}
BEDROCK = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "What is this?"},
                {"image": {"format": "png", "source": {"bytes": PNG}}},
                {"guardContent": {"text": {"text": "Is it true?", "qualifiers": ["query"]}}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", "name": "look", "input": {"place": "x"}}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "c1",
                        "status": "error",
                        "content": [{"json": {"seen": "nothing"}}],
                    }
                },
                {"cachePoint": {"type": "default"}},
            ],
        },
    ],
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": TOOL}}},
            {"cachePoint": {"type": "default"}},
        ]
    },
    "inferenceConfig": {"maxTokens": 40000, "temperature": 0.5, "stopSequences": ["END"]},
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
}
COHERE = {
    "model": "command-a-reasoning-08-2025",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is this?"},
        {
            "role": "assistant",
            "tool_plan": "Look it up.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"place": "x"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": TOOL}}
    ],
    "strict_tools": True,
    "documents": [{"id": "d1", "data": {"title": "Facts", "text": "Water is wet."}}],
    "max_tokens": 40000,
    "temperature": 0.5,
    "k": 3,
    "seed": 7,
    "stop_sequences": ["END"],
    "thinking": {"type": "enabled", "token_budget": 2000},
    "safety_mode": "STRICT",
}
OLLAMA = {
    "model": "gpt-oss:20b",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is this?", "images": [PNG]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "look", "arguments": {"place": "x"}}}],
        },
        {"role": "tool", "tool_name": "look", "content": "a cat"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": TOOL}}
    ],
    "options": {
        "num_predict": 40000,
        "temperature": 0.5,
        "top_k": 3,
        "seed": 7,
        "stop": ["END"],
        "num_ctx": 8192,
    },
    "format": SCHEMA,
    "think": "high",
    "stream": False,
    "keep_alive": "5m",
}
REQUESTS = {
    "openai_chat": ("https://api.openai.com/v1/chat/completions", OPENAI_CHAT),
    "openai_responses": ("https://api.openai.com/v1/responses", OPENAI_RESPONSES),
    "anthropic": ("https://api.anthropic.com/v1/messages", ANTHROPIC),
    "gemini": ("https://g.invalid/v1beta/models/gemini-3.1-flash:generateContent", GEMINI),
    "bedrock": ("https://b.invalid/model/anthropic.claude-opus-4-6-v1%3A0/converse", BEDROCK),
    "cohere": ("https://api.cohere.com/v2/chat", COHERE),
    "ollama": ("http://127.0.0.1:11434/api/chat", OLLAMA),
}
